"""Storage accounting: bytes and files of model folders, and how much more a project may store. Pure.

Usage is updated with each change, since walking a folder costs as much as it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from headrace.common.contracts.slots import FILES, STORAGE
from headrace.manager.domain import quota
from headrace.manager.domain.object_limits import ObjectLimits

AMPLE = 4
"""While this many steps are left, a whole step is reserved at once; nearer to the limit only what is needed, for the
sake of other senders."""


@dataclass(frozen=True)
class StorageUsage:
    """Storage usage: bytes, and number of files and directories. As a difference it may be negative."""

    bytes: int = 0
    files: int = 0

    def __add__(self, other: StorageUsage) -> StorageUsage:
        return StorageUsage(self.bytes + other.bytes, self.files + other.files)

    def __sub__(self, other: StorageUsage) -> StorageUsage:
        return StorageUsage(self.bytes - other.bytes, self.files - other.files)

    def __bool__(self) -> bool:
        return bool(self.bytes or self.files)

    def slots(self) -> dict[str, Decimal]:
        """Return it by the slot names of a quota."""
        return {STORAGE: Decimal(self.bytes), FILES: Decimal(self.files)}


@dataclass(frozen=True)
class StorageChange:
    """Change of a folder's usage: what was added and what was removed."""

    gained: StorageUsage = field(default_factory=StorageUsage)
    lost: StorageUsage = field(default_factory=StorageUsage)


def correction(counted: StorageUsage, found: StorageUsage, meanwhile: StorageChange) -> StorageUsage:
    """Return the certain part of a count's error: `counted` when a walk began that `found` the actual usage.

    `meanwhile`: changes since then, of which the walk saw any part. Without changes the corrected count is exact;
    otherwise it is nearer to the actual usage than before, and never beyond it.
    """
    return StorageUsage(
        _certain(found.bytes - counted.bytes, meanwhile.gained.bytes, meanwhile.lost.bytes),
        _certain(found.files - counted.files, meanwhile.gained.files, meanwhile.lost.files),
    )


def _certain(off: int, gained: int, lost: int) -> int:
    if off > gained:
        return off - gained
    return off + lost if off < -lost else 0


def limits(project_quota: Mapping[str, Decimal] | None, defaults: ObjectLimits) -> dict[str, Decimal]:
    """Return a project's storage limits: its quota's where set, else those of the installation."""
    usual = StorageUsage(defaults.storage_bytes_per_project, defaults.stored_files_per_project).slots()
    return {slot: (project_quota or {}).get(slot, limit) for slot, limit in usual.items()}


def lacking(allowed: StorageUsage, held: StorageUsage, more: StorageUsage) -> StorageUsage:
    """Return by how much `held` and `more` together exceed `allowed`; zero where they do not."""
    missing = held + more - allowed
    return StorageUsage(max(0, missing.bytes), max(0, missing.files))


def grant(
    project: str, limit: Mapping[str, Decimal], used: StorageUsage, needed: StorageUsage, step: StorageUsage
) -> StorageUsage:
    """Return how much a sender may store beyond `used`: at least `needed`, usually a `step` more.

    Raises QuotaExceeded with the numbers when `needed` exceeds a limit.
    """
    quota.check(project, limit, used.slots(), needed.slots())
    left = StorageUsage(int(limit[STORAGE]), int(limit[FILES])) - used
    return StorageUsage(
        _grant(needed.bytes, step.bytes, left.bytes) if needed.bytes else 0,
        _grant(needed.files, step.files, left.files) if needed.files else 0,
    )


def _grant(needed: int, step: int, left: int) -> int:
    return max(needed, step) if left >= AMPLE * max(needed, step) else needed
