"""Room in the folder cache: what may be fetched, and which snapshots leave for it.

Content is shared: what two snapshots have in common is held once, and freed only when both have left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from headrace.common.runtime.disk import in_words


@dataclass(frozen=True, slots=True)
class CachedSnapshot:
    """Snapshot in the cache, whole or in part. `objects`: size of each distinct content, by its name."""

    used_at: float
    """When a kernel last needed it, in seconds of any one clock."""
    objects: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CacheState:
    """What the cache holds, and what it may take."""

    snapshots: Mapping[str, CachedSnapshot]
    held: Mapping[str, int]
    """Size of each object on the disk."""
    in_use: Collection[str] | None
    """Snapshots that planned or running kernels need. None: not known, and then none leaves."""
    capacity_bytes: int
    free_bytes: int
    """Free bytes of the disk, without its reserve."""
    claimed_bytes: int
    """What other fetches still write."""
    max_entries: int
    """Files that all snapshots together may have; each one counts one more."""


@dataclass(frozen=True, slots=True)
class Room:
    """There is room. `evict`: snapshots that leave first, the least recently used one first."""

    evict: tuple[str, ...]
    needed_bytes: int
    """What is to be fetched."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """There is none, whatever leaves. `text` has the numbers."""

    text: str


def find_room(state: CacheState, snapshot_id: str, objects: Mapping[str, int]) -> Room | NoRoom:
    """Return what must leave so that a snapshot with these objects can be fetched, or why it cannot."""
    needed = sum(size for name, size in objects.items() if name not in state.held)
    users = Counter(objects.keys())
    for other in state.snapshots.keys() - {snapshot_id}:
        users.update(state.snapshots[other].objects.keys())
    freed = sum(size for name, size in state.held.items() if name not in users)  # left behind: removed in any case
    held = sum(state.held.values()) - freed
    most, free = state.capacity_bytes - state.claimed_bytes, state.free_bytes - state.claimed_bytes
    entries = 1 + len(objects) + sum(1 + len(one.objects) for key, one in state.snapshots.items() if key != snapshot_id)
    evict: list[str] = []
    for candidate in _least_recently_used_first(state, snapshot_id):
        if entries <= state.max_entries and held + needed <= most and needed <= free + freed:
            break
        evict.append(candidate)
        entries -= 1 + len(state.snapshots[candidate].objects)
        for name in state.snapshots[candidate].objects:
            users[name] -= 1
            if not users[name] and name in state.held:
                freed += state.held[name]
                held -= state.held[name]
    if entries > state.max_entries:
        return NoRoom(f"{entries} files would be in use; the cache may hold {state.max_entries}")
    if held + needed > most:
        return NoRoom(
            f"{in_words(needed)} are needed; the cache may hold {in_words(state.capacity_bytes)} (setting "
            f"folder_cache_bytes), of which replicas use {in_words(held + state.claimed_bytes)}"
        )
    if needed > free + freed:
        return NoRoom(
            f"{in_words(needed)} are needed; the disk has {in_words(max(0, free))} free for the cache, which could give "
            f"back {in_words(freed)}"
        )
    return Room(tuple(evict), needed)


def _least_recently_used_first(state: CacheState, snapshot_id: str) -> list[str]:
    if state.in_use is None:
        return []
    idle = state.snapshots.keys() - {snapshot_id, *state.in_use}
    return sorted(idle, key=lambda one: (state.snapshots[one].used_at, one))
