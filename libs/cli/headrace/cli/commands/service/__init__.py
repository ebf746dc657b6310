"""`headrace service`: the commands of the noun with the most of them, a file for those that belong together."""
