"""Moves of files and directories inside a folder, and new directories. All functions block: call them in a thread."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Sequence
from typing import Final

from headrace.common.contracts.problems import Conflict
from headrace.manager.folders.errors import problems
from headrace.manager.folders.tree import Tree, facts_of

_NO_REPLACE: Final = 1
"""RENAME_NOREPLACE of renameat2(2)."""
_UNSUPPORTED: Final = {errno.EINVAL, errno.ENOSYS}
LIBC: Final = ctypes.CDLL(None, use_errno=True)


def make_directory(tree: Tree, names: Sequence[str]) -> bool:
    """Create the directory at `names`, and those above it; return whether it was missing. Raises Conflict for a file there."""
    before = tree.added
    with tree.directory(names, make=True):
        pass
    tree.sync_made()
    return tree.added != before


def move(tree: Tree, names: Sequence[str], to: Sequence[str]) -> None:
    """Move the file, or the directory with its content, from `names` to `to`; missing directories above `to` are created.

    Nothing is replaced. Raises NotFound, and Conflict when something is at `to`.
    """
    shown, there, storage = "/".join(names), "/".join(to), tree.path.parent
    with tree.directory(names[:-1]) as source:
        with problems(shown):
            os.stat(names[-1], dir_fd=source, follow_symlinks=False)
        with tree.directory(to[:-1], make=True) as target, problems(there, storage=storage):
            try:
                _rename(source, names[-1], target, to[-1])
            except FileExistsError:
                raise Conflict(f"there is something at {there} already; move or delete that first") from None
            os.fsync(target)
            os.fsync(source)
    tree.sync_made()


def _rename(source: int, name: str, target: int, to: str) -> None:
    """Rename, and replace nothing. Raises FileExistsError."""
    if LIBC.renameat2(source, os.fsencode(name), target, os.fsencode(to), _NO_REPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code))
    if facts_of(target, to) is not None:  # of a storage as NFS, which cannot tell in the same step
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(name, to, src_dir_fd=source, dst_dir_fd=target)
