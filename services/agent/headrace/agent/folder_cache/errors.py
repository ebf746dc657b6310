"""Errors of the folder cache.

FetchFailed        it may work later, or at another manager
  AccessRefused    with another token
SnapshotRefused    what managers serve is not what the plan names; a retry would not help
CacheFull          the cache has no room for it
"""

from __future__ import annotations


class FetchFailed(Exception):  # noqa: N818 - not the agent's error
    """Managers could not be asked, or did not send what was asked for."""


class AccessRefused(FetchFailed):
    """A manager did not take the access token."""


class SnapshotRefused(Exception):  # noqa: N818 - a verdict about what was received
    """What was received is not the content that the plan names."""


class CacheFull(Exception):  # noqa: N818 - a state of the machine
    """There is no room for the snapshot; the text has the numbers."""
