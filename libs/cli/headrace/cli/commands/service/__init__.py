"""`headrace service`: the noun with the most commands, in one file per group of them."""
