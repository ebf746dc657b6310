"""Loop of live changes: reads what changed since its last pass, whoever changed it, and tells the followers."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

import structlog

from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.live_changes import decides_on_access
from headrace.manager.store import live_changes
from headrace.manager.usecases.followers import Followers

log = structlog.get_logger()
MOST: Final = 5_000
"""Things of one pass; with more, followers are told to read everything again."""
QUIET_S: Final = 2.0
"""How often the database is read while nobody follows, so that who comes back is told what was missed."""
CHECKED_S: Final = 15.0
"""How often it is looked what followers may see; at once where users or projects changed."""
KEPT_S: Final = 120.0
"""After so long without a pass changes may have been deleted (`Retention.live_changes`)."""


class LiveChangesLoop:
    """Reads: changes that were committed since its last pass (`live_changes`, which triggers write), and what the followers may
    see. Writes nothing; any number of managers read the same.
    """

    def __init__(
        self, pool: Pool, followers: Followers, *, idle: timedelta, monotonic: Monotonic = time.monotonic
    ) -> None:
        """`idle`: after so long without a request a login has ended."""
        self._pool = pool
        self._followers = followers
        self._idle = idle
        self._monotonic = monotonic
        self._snapshot: str | None = None
        self._read_s = self._checked_s = 0.0

    async def one_pass(self) -> None:
        """Tell followers what changed. One that may not see it any more is ended first."""
        now = self._monotonic()
        if self._snapshot is None or now - self._read_s > KEPT_S:
            await self._begin(now)
            return
        if not self._followers and now - self._read_s < QUIET_S:
            return
        async with self._pool.acquire() as con:
            news = await live_changes.since(con, self._snapshot, MOST + 1)
            if self._followers and (now - self._checked_s >= CHECKED_S or decides_on_access(news.changes)):
                asked = list(self._followers.credentials())
                self._followers.seen(asked, await live_changes.sights(con, asked, idle=self._idle))
                self._checked_s = now
        self._snapshot, self._read_s = news.snapshot, now
        if news.went_back or len(news.changes) > MOST:
            log.info("live_changes_skipped", changes=len(news.changes), went_back=news.went_back)
            self._followers.reset()
        elif news.changes:
            self._followers.publish(news.changes)

    async def _begin(self, now: float) -> None:
        async with self._pool.acquire() as con:
            self._snapshot = await live_changes.snapshot(con)
        self._read_s = now
        self._followers.reset()
