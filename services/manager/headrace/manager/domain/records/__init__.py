"""Records: rows as the manager's code sees them, a file per noun. The store returns nothing else.

They are here, and not beside the store, so that decisions and views can take them without knowing the database.
"""
