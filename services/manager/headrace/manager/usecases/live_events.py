"""Use case of live events: a stream of what changes, for one project or for all that the caller may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from headrace.common.contracts.problems import Unauthenticated
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.live_changes import Scope
from headrace.manager.domain.records.live_changes import Credential
from headrace.manager.store import live_changes
from headrace.manager.usecases.context import project_for
from headrace.manager.usecases.followers import Follower, Followers


class LiveEvents:
    """Use case of live events."""

    def __init__(self, pool: Pool, followers: Followers, *, idle: timedelta) -> None:
        """`idle`: after so long without a request a login has ended."""
        self._pool = pool
        self._followers = followers
        self._idle = idle

    @asynccontextmanager
    async def follow(self, actor: Actor, *, project: str | None, last_id: str | None) -> AsyncIterator[Follower]:
        """Follow while inside, after the event `last_id`, or from now on.

        Raises NotFound, TooManyRequests, Unavailable.
        """
        credential = Credential(actor.login_id, actor.key_id)
        async with self._pool.acquire() as con:
            found = None if project is None else await project_for(con, actor, project, "viewer")
            sight = (await live_changes.sights(con, [credential], idle=self._idle)).get(credential)
        if sight is None:
            raise Unauthenticated("this API key or login has ended")
        follower = self._followers.join(credential, Scope(sight, found.id if found else None), last_id)
        try:
            yield follower
        finally:
            self._followers.leave(follower)

    def stop(self) -> None:
        """End all streams, and take no more."""
        self._followers.stop()
