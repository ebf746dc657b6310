"""The expected failure of a backup or restore."""

from __future__ import annotations


class BackupError(Exception):
    """A backup or restore that cannot be done. `str()` says what was found, what is allowed, and what to do."""
