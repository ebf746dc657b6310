"""Commands, one file per noun; each registers itself on the group it is given by app.py."""
