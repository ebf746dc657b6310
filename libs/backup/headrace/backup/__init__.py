"""Backup and restore of an installation: database, keys and model folders in one file."""
