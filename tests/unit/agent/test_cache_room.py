"""Room in the folder cache: what leaves, what stays, and the numbers of a refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.agent.domain.cache_room import CachedSnapshot, CacheState, NoRoom, Room, find_room

MIB = 2**20
SIZES = {name: size * MIB for name, size in zip("abcdefgh", (1, 2, 3, 5, 8, 13, 21, 34), strict=True)}
OBJECTS = st.sets(st.sampled_from(sorted(SIZES))).map(lambda names: {name: SIZES[name] for name in names})


def _state(
    snapshots: dict[str, tuple[float, str]], *, held: str, in_use: set[str] | None, capacity: int = 100, free: int = 100
) -> CacheState:
    return CacheState(
        snapshots={
            key: CachedSnapshot(used_at, {name: SIZES[name] for name in names})
            for key, (used_at, names) in snapshots.items()
        },
        held={name: SIZES[name] for name in held},
        in_use=in_use,
        capacity_bytes=capacity * MIB,
        free_bytes=free * MIB,
        claimed_bytes=0,
        max_entries=1000,
    )


def _wanted(names: str) -> dict[str, int]:
    return {name: SIZES[name] for name in names}


def test_nothing_leaves_while_there_is_room() -> None:
    state = _state({"old": (1, "a")}, held="a", in_use=set())
    assert find_room(state, "new", _wanted("ab")) == Room((), 2 * MIB)


def test_the_least_recently_used_leaves_first_and_only_as_far_as_needed() -> None:
    state = _state({"x": (2, "c"), "y": (1, "d"), "z": (3, "b")}, held="bcd", in_use=set(), capacity=14)
    assert find_room(state, "new", _wanted("e")) == Room(("y",), 8 * MIB)


def test_what_another_snapshot_has_too_frees_nothing() -> None:
    state = _state({"x": (1, "d"), "y": (2, "d")}, held="d", in_use={"y"}, capacity=9)
    assert find_room(state, "new", _wanted("c")) == Room((), 3 * MIB)
    refused = find_room(replace(state, capacity_bytes=7 * MIB), "new", _wanted("c"))
    assert isinstance(refused, NoRoom)


def test_a_snapshot_in_use_never_leaves_and_the_refusal_has_the_numbers() -> None:
    state = _state({"x": (1, "d")}, held="d", in_use={"x"}, capacity=10)
    assert find_room(state, "new", _wanted("e")) == NoRoom(
        "8 MiB are needed; the cache may hold 10 MiB (setting folder_cache_bytes), of which replicas use 5 MiB"
    )


def test_a_full_disk_is_refused_with_what_could_be_given_back() -> None:
    state = _state({"x": (1, "c"), "y": (2, "d")}, held="cd", in_use={"y"}, free=4)
    assert find_room(state, "new", _wanted("e")) == NoRoom(
        "8 MiB are needed; the disk has 4 MiB free for the cache, which could give back 3 MiB"
    )
    assert find_room(replace(state, free_bytes=5 * MIB), "new", _wanted("e")) == Room(("x",), 8 * MIB)


def test_nothing_leaves_while_it_is_not_known_what_is_in_use() -> None:
    state = _state({"x": (1, "d")}, held="d", in_use=None, capacity=10)
    assert isinstance(find_room(state, "new", _wanted("e")), NoRoom)


def test_what_other_fetches_still_write_counts() -> None:
    state = replace(_state({}, held="", in_use=set(), capacity=10), claimed_bytes=4 * MIB)
    assert isinstance(find_room(state, "new", _wanted("e")), NoRoom)
    assert find_room(state, "new", _wanted("d")) == Room((), 5 * MIB)


def test_the_number_of_files_is_bounded_too() -> None:
    state = replace(_state({"x": (1, "ab")}, held="ab", in_use=set()), max_entries=5)
    assert find_room(state, "new", _wanted("c")) == Room((), 3 * MIB)
    assert find_room(replace(state, max_entries=4), "new", _wanted("c")) == Room(("x",), 3 * MIB)
    assert find_room(replace(state, max_entries=4, in_use={"x"}), "new", _wanted("c")) == NoRoom(
        "5 files would be in use; the cache may hold 4"
    )


@given(
    snapshots=st.dictionaries(st.sampled_from("uvwxyz"), st.tuples(st.integers(0, 9), OBJECTS)),
    held=st.sets(st.sampled_from(sorted(SIZES))),
    in_use=st.none() | st.sets(st.sampled_from("uvwxyz")),
    wanted=OBJECTS,
    new=st.sampled_from("un"),
    capacity=st.integers(0, 120),
    free=st.integers(-5, 60),
)
def test_after_the_eviction_it_fits_and_who_is_in_use_is_still_there(
    snapshots: dict[str, tuple[int, dict[str, int]]],
    held: set[str],
    in_use: set[str] | None,
    wanted: dict[str, int],
    new: str,
    capacity: int,
    free: int,
) -> None:
    state = CacheState(
        snapshots={key: CachedSnapshot(used_at, objects) for key, (used_at, objects) in snapshots.items()},
        held={name: SIZES[name] for name in held},
        in_use=in_use,
        capacity_bytes=capacity * MIB,
        free_bytes=free * MIB,
        claimed_bytes=0,
        max_entries=1000,
    )
    room = find_room(state, new, wanted)
    if isinstance(room, NoRoom):
        idle = set() if in_use is None else snapshots.keys() - in_use - {new}
        left = {name for key in snapshots.keys() - idle for name in snapshots[key][1] if key != new} | set(wanted)
        freed = sum(SIZES[name] for name in held - left)
        needed = sum(SIZES[name] for name in set(wanted) - held)
        assert (
            sum(SIZES[name] for name in held & left) + needed > state.capacity_bytes
            or needed > state.free_bytes + freed
        )
        return
    assert new not in room.evict
    assert not set(room.evict) & (in_use or set())
    assert in_use is not None or not room.evict
    left = {name for key in snapshots.keys() - {*room.evict, new} for name in snapshots[key][1]} | set(wanted)
    freed = sum(SIZES[name] for name in held - left)
    assert room.needed_bytes == sum(SIZES[name] for name in set(wanted) - held) <= max(0, state.free_bytes + freed)
    assert sum(SIZES[name] for name in held & left) + room.needed_bytes <= state.capacity_bytes


@pytest.mark.parametrize("count", [0, 1, 5])
def test_asking_again_after_the_eviction_evicts_nothing_more(count: int) -> None:
    snapshots = {f"s{number}": (float(number), "abcd"[number % 4]) for number in range(count)}
    state = _state(snapshots, held="abcd", in_use=set(), capacity=15)
    room = find_room(state, "new", _wanted("e"))
    assert isinstance(room, Room)
    left = {key: one for key, one in state.snapshots.items() if key not in room.evict}
    names = {name for one in left.values() for name in one.objects}
    after = replace(state, snapshots=left, held={name: SIZES[name] for name in names})
    assert find_room(after, "new", _wanted("e")) == Room((), 8 * MIB)
