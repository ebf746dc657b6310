"""Identity of a file's content on the storage, without reading it."""

from __future__ import annotations

import os
from typing import NamedTuple


class FileIdentity(NamedTuple):
    """What stays the same as long as a file's content does: uploads replace files, never write into them."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> FileIdentity:
        """Return the identity of a file. (Not ctime: each link to the file changes it.)"""
        return cls(facts.st_ino, facts.st_size, facts.st_mtime_ns)
