"""Followers of live changes at this manager: each has a position in one ring of the newest changes, and no queue of its own.

The loop `live-changes` publishes here what it reads. What a follower costs does not grow, however slow it is: one that the ring
has overtaken is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from headrace.common.contracts.ids import UserId, new_uuid
from headrace.common.contracts.problems import TooManyRequests, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.contracts.vocabulary import FollowEnd
from headrace.manager.domain.live_changes import ChangeRing, Scope
from headrace.manager.domain.records.live_changes import Credential, LiveChange, Sight
from headrace.manager.metrics import FOLLOWERS, FOLLOWERS_ENDED

MAX_FOLLOWERS: Final = 1_500
"""Followers of one manager."""
MAX_OF_USER: Final = 100
"""Followers of one user at one manager."""
MAX_TOLD: Final = 500
"""Changes that a follower takes at once."""
_RETRY_AFTER_S: Final = 5

_WHY: Final[Mapping[FollowEnd, str]] = {
    "too-slow": "the stream is read more slowly than things change; go on from the last id",
    "no-access": "the API key or login has ended, or may not see this project any more",
    "stopping": "this manager stops; another one, or its successor, goes on",
}


@dataclass(frozen=True, slots=True)
class Ready:
    """All that was missed has been told."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Changes may have been missed."""


@dataclass(frozen=True, slots=True)
class End:
    """No more is told."""

    reason: FollowEnd
    detail: str


Told: TypeAlias = LiveChange | Ready | Reset | End


class Follower:
    """One reader of live changes."""

    def __init__(self, followers: Followers, credential: Credential, scope: Scope, position: int | None) -> None:
        """`position`: number of the last change that the reader knows; None: what it knows is not known here."""
        self._followers = followers
        self.credential = credential
        self.scope = scope
        self._position = followers.ring.newest if position is None else position
        self._resets = position is None
        self._ready = False
        self._end: FollowEnd | None = None
        self._news = asyncio.Event()
        self._news.set()

    @property
    def id(self) -> str:
        """Id up to which the reader has been told everything."""
        return self._followers.id_of(self._position)

    @property
    def over(self) -> bool:
        """Return whether no more is told."""
        return self._end is not None

    async def next(self, within_s: float) -> list[tuple[str, Told]]:
        """Wait for something to tell, and return it, each with its id; nothing after `within_s`.

        Raises nothing; the last one is an End.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news.wait()
        await asyncio.sleep(0)  # others have their turn while this one is told much
        return self._take() if self._news.is_set() else []

    def publish(self, changes: Sequence[LiveChange], before: int) -> None:
        """Take note that these changes came after number `before`."""
        if any(map(self.scope.tells, changes)):
            self._news.set()
        elif self._position == before and not self._news.is_set():
            self._position = self._followers.ring.newest

    def reset(self) -> None:
        """Take note that changes may have been missed."""
        self._resets = True
        self._position = self._followers.ring.newest
        self._news.set()

    def end(self, reason: FollowEnd) -> None:
        """Tell no more."""
        if self._end is None:
            self._end = reason
            FOLLOWERS_ENDED.labels(reason).inc()
            self._news.set()

    def _take(self) -> list[tuple[str, Told]]:
        told: list[tuple[str, Told]] = []
        ring = self._followers.ring
        if self._end is None and not ring.knows(self._position):
            self.end("too-slow")
        if self._end is not None:
            return [(self.id, End(self._end, _WHY[self._end]))]
        if self._resets:
            self._resets = False
            told.append((self.id, Reset()))
        self._position, changes = ring.after(self._position, MAX_TOLD)
        told += [(self._followers.id_of(number), change) for number, change in changes if self.scope.tells(change)]
        if self._position == ring.newest:
            self._news.clear()
            if not self._ready:
                self._ready = True
                told.append((self.id, Ready()))
        return told


class Followers:
    """All followers of this manager, and the changes that they are told."""

    def __init__(self) -> None:
        self._open: dict[Follower, None] = {}
        self._stopping = False
        self._begin()

    def _begin(self) -> None:
        self._start = new_uuid().hex[:20]  # the milliseconds, and 26 bits of chance: another manager has another one
        self.ring = ChangeRing()

    def __len__(self) -> int:
        return len(self._open)

    def id_of(self, number: int) -> str:
        """Return the id of a change."""
        return f"{self._start}-{number}"

    def join(self, credential: Credential, scope: Scope, last_id: str | None) -> Follower:
        """Add a follower, which goes on after `last_id`; without one it begins now.

        Raises TooManyRequests at the bound of its user, Unavailable at that of the manager and while that stops.
        """
        if self._stopping:
            raise _unavailable("the manager stops; try again")
        if len(self._open) >= MAX_FOLLOWERS:
            raise _unavailable(f"found {len(self._open)} followers of this manager; allowed: {MAX_FOLLOWERS}")
        own = self._of_user(scope.sight.user_id)
        if own >= MAX_OF_USER:
            raise TooManyRequests(
                f"found {own} streams of yours at this manager; allowed: {MAX_OF_USER}", retry_after_s=_RETRY_AFTER_S
            )
        position = self.ring.newest if last_id is None else self._position_of(last_id)
        follower = Follower(self, credential, scope, position)
        self._open[follower] = None
        FOLLOWERS.set(len(self._open))
        return follower

    def leave(self, follower: Follower) -> None:
        """Remove a follower."""
        self._open.pop(follower, None)
        FOLLOWERS.set(len(self._open))

    def publish(self, changes: Sequence[LiveChange]) -> None:
        """Tell changes to those who may see them."""
        before = self.ring.newest
        self.ring.append(changes)
        for follower in self._open:
            follower.publish(changes, before)

    def reset(self) -> None:
        """Begin anew: changes may have been missed, and ids of before are not known any more."""
        self._begin()
        for follower in self._open:
            follower.reset()

    def credentials(self) -> Collection[Credential]:
        """Return what the followers presented, each once."""
        return {follower.credential for follower in self._open}

    def seen(self, asked: Collection[Credential], sights: Mapping[Credential, Sight]) -> None:
        """Take note of what the holders of these credentials may see now; one that is missing does not count any more."""
        about = frozenset(asked)
        for follower in self._open:
            if follower.credential not in about:
                continue  # it came meanwhile
            scope = follower.scope.seen_by(sights.get(follower.credential))
            if scope is None:
                follower.end("no-access")
            else:
                follower.scope = scope

    def stop(self) -> None:
        """End all, and take no more."""
        self._stopping = True
        for follower in self._open:
            follower.end("stopping")

    def _of_user(self, user_id: UserId) -> int:
        return sum(follower.scope.sight.user_id == user_id for follower in self._open)

    def _position_of(self, last_id: str) -> int | None:
        start, _, number = last_id.rpartition("-")
        if start != self._start or not (number.isascii() and number.isdecimal() and len(number) <= 15):
            return None
        return int(number) if self.ring.knows(int(number)) else None


def _unavailable(detail: str) -> Unavailable:
    problem = Unavailable(detail, reason=ApiReason.FOLLOWERS_FULL)
    problem.headers = {"Retry-After": str(_RETRY_AFTER_S)}
    return problem
