"""Records: rows as the manager's code sees them, a file per noun; the only return types of the store.

They are apart from the store so that decisions and views can use them without the database.
"""
