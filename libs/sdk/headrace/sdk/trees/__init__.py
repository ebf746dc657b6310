"""Transfers of directory trees: `Folders.upload_tree` and `Folders.download_tree`."""
