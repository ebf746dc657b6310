"""Whole folders and directories up and down: `Folders.upload_tree` and `Folders.download_tree`."""
