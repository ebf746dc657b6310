"""Folder cache: model folders that managers serve, fetched once and linked into a read-only tree per snapshot."""
