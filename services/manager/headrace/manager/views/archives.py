"""Views of unpacked archives."""

from __future__ import annotations

from headrace.common.contracts.http.folders import ArchiveReceipt, RefusedEntry
from headrace.manager.domain.records.archives import Unpacked


def archive_receipt(taken: Unpacked) -> ArchiveReceipt:
    """Return counts and refused entries of an unpacked archive."""
    return ArchiveReceipt(
        files=taken.files,
        directories=taken.directories,
        bytes=taken.bytes,
        refused_count=taken.refused_count,
        refused=tuple(RefusedEntry(path=one.path, found=one.found, allowed=one.allowed) for one in taken.refused),
    )
