"""What the operating system says, as Problems."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from headrace.common.contracts.problems import Conflict, InsufficientStorage, NotFound, Problem, Unavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP}


@contextmanager
def problems(what: str) -> Iterator[None]:
    """Turn OSErrors inside into Problems about `what` (a path as the caller wrote it)."""
    try:
        yield
    except OSError as error:
        raise _problem(error, what) from error


def _problem(error: OSError, what: str) -> Problem:
    if error.errno == errno.ENOENT:
        return NotFound(f"{what} does not exist")
    if error.errno in _FULL:
        return InsufficientStorage(f"the storage has no room for {what}")
    if error.errno in _IN_THE_WAY:
        return Conflict(f"{what}: something else is in the way (a file where a folder is needed, or a link)")
    if error.errno == errno.ENAMETOOLONG:
        return Conflict(f"{what} is too long for the storage")
    return Unavailable(f"the storage cannot be used: {error.strerror}", reason="storage-failed")
