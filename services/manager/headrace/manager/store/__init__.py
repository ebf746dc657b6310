"""Store: SQL in `.sql` files beside small functions. No transaction is opened here."""
