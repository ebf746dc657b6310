"""Live changes: what the ring keeps, who is told what, and followers that read it at their own pace."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import KeyId, ProjectId, UserId
from headrace.common.contracts.vocabulary import LiveKind
from headrace.manager.domain.live_changes import ChangeRing, Scope, decides_on_access
from headrace.manager.domain.records.live_changes import Credential, LiveChange, Sight
from headrace.manager.usecases.followers import End, Followers, Ready, Reset

RED, BLUE = (ProjectId(UUID(int=number)) for number in (1, 2))
USER: Final = UserId(UUID(int=3))
KEY: Final = Credential(None, KeyId(UUID(int=4)))
OPERATOR: Final = Sight(USER, None)
OF_RED: Final = Sight(USER, frozenset({RED}))


def change(thing: object, project: ProjectId | None = RED, kind: LiveKind = "service") -> LiveChange:
    return LiveChange(kind, str(thing), project)


@given(
    batches=st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=10),
    size=st.integers(1, 12),
    most=st.integers(1, 9),
)
def test_whoever_goes_on_is_told_of_each_thing_that_changed_or_that_it_is_not_known(
    batches: list[list[int]], size: int, most: int
) -> None:
    ring, all_of_them = ChangeRing(size), [thing for batch in batches for thing in batch]
    for batch in batches:
        ring.append(map(change, batch))
    assert ring.newest == len(all_of_them)
    for begin in range(-1, len(all_of_them) + 2):
        assert ring.knows(begin) == (max(0, len(all_of_them) - size) <= begin <= len(all_of_them))
        if not ring.knows(begin):
            continue
        position, told = begin, []
        while position < ring.newest:
            position, found = ring.after(position, most)
            assert 0 < len(found) <= most
            assert len({one for _, one in found}) == len(found)
            told += found
        assert [number for number, _ in told] == sorted({number for number, _ in told})
        assert {one.thing_id for _, one in told} == {str(thing) for thing in all_of_them[begin:]}
        assert all(all_of_them[number - 1] == int(one.thing_id) for number, one in told)


def test_who_is_told_what() -> None:
    own, other = change(USER, None, "user"), change(UUID(int=9), None, "user")
    size, machine = change("s", None, "resource-preset"), change("gpu-1", None, "agent")
    everything = [change(1), change(2, BLUE), own, other, size, machine]
    assert [*filter(Scope(OPERATOR).tells, everything)] == everything
    assert [*filter(Scope(OF_RED).tells, everything)] == [change(1), own, size]
    assert [*filter(Scope(OPERATOR, BLUE).tells, everything)] == [change(2, BLUE)]
    assert Scope(OF_RED, RED).seen_by(None) is None
    assert Scope(OF_RED, RED).seen_by(Sight(USER, frozenset({BLUE}))) is None
    assert Scope(OF_RED).seen_by(Sight(USER, frozenset({BLUE}))) == Scope(Sight(USER, frozenset({BLUE})))
    assert Scope(OF_RED, RED).seen_by(OPERATOR) == Scope(OPERATOR, RED)
    assert decides_on_access([own])
    assert not decides_on_access(everything[:2])


async def test_a_follower_that_is_told_nothing_keeps_its_place_in_the_ring() -> None:
    followers = Followers()
    red, all_of_it = (followers.join(KEY, Scope(sight), None) for sight in (OF_RED, OPERATOR))
    assert [one for _, one in await red.next(0)] == [Ready()]
    for number in range(0, 20_000, 4_000):
        followers.publish([change(thing, BLUE) for thing in range(number, number + 4_000)])
        assert await red.next(0) == []
    followers.publish([change("own")])
    assert [one for _, one in await red.next(0)] == [change("own")]
    ((_, end),) = await all_of_it.next(0)
    assert isinstance(end, End)
    assert end.reason == "too-slow", "of what it was told, the ring has forgotten some"


async def test_what_a_follower_is_told_at_once_is_bounded_and_then_it_is_ready() -> None:
    followers = Followers()
    begin = followers.id_of(0)
    followers.publish([change(thing) for thing in range(1_200)])
    follower = followers.join(KEY, Scope(OPERATOR), begin)
    counts = [len(await follower.next(0)) for _ in range(4)]
    assert counts == [500, 500, 201, 0]
    assert follower.id == followers.id_of(1_200)


async def test_a_reset_is_told_first_and_makes_new_ids() -> None:
    followers = Followers()
    follower = followers.join(KEY, Scope(OPERATOR), None)
    await follower.next(0)
    known = follower.id
    followers.publish([change(1)])
    followers.reset()
    followers.publish([change(2)])
    assert [one for _, one in await follower.next(0)] == [Reset(), change(2)]
    later = followers.join(KEY, Scope(OPERATOR), known)
    assert [one for _, one in await later.next(0)] == [Reset(), Ready()]


async def test_a_follower_waits_for_what_it_is_told_and_for_nothing_else() -> None:
    followers = Followers()
    follower = followers.join(KEY, Scope(OF_RED), None)
    await follower.next(0)
    waiting = asyncio.create_task(follower.next(60))
    await asyncio.sleep(0)
    followers.publish([change(1, BLUE)])
    await asyncio.sleep(0)
    assert not waiting.done()
    followers.publish([change(2)])
    assert [one for _, one in await waiting] == [change(2)]
