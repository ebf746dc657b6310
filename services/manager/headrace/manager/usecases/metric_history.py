"""Use cases of the history of services' metrics: windows of app-proxies are stored, and series of it told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from headrace.common.contracts.http.metrics import MetricHistory as MetricHistoryView
from headrace.common.contracts.http.metrics import MetricNames
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.traffic import TrafficStored, TrafficWindow
from headrace.common.contracts.metric_series import SERIES, SeriesBy, SeriesName
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.domain.metric_history.interval import HISTORY_KEPT, interval
from headrace.manager.domain.metric_history.points import NO_SERVICE, Point
from headrace.manager.domain.metric_history.reading import samples_of
from headrace.manager.domain.metric_history.series import Chosen, SeriesFound, series_of
from headrace.manager.domain.records.metric_history import StoredWindow
from headrace.manager.store import metric_history
from headrace.manager.usecases.context import service_for
from headrace.manager.views.metric_history import history_view, names_view

MAX_AGE: Final = timedelta(minutes=30)
"""Older windows are not stored: they are minutes soon, or are already."""
MAX_AHEAD: Final = timedelta(minutes=1)
"""How far an app-proxy's clock may be ahead."""
MAX_WINDOWS: Final = 50_000
"""Windows that an answer is made of: two hours of sixty app-proxies and agents."""
MAX_CHANGES: Final = 10_000
"""Changes of the number of replicas that an answer tells of."""
MAX_AT_ONCE: Final = 2
"""Answers that a manager makes at once."""


class MetricHistory:
    """Use cases of metrics' history. Whoever sees a service sees it."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)

    async def store(self, window: TrafficWindow) -> TrafficStored:
        """Store a window; one that was stored before replaces itself. Who may publish it is decided by the bus."""
        now = self._clock()
        if not now - MAX_AGE <= window.at <= now + MAX_AHEAD:
            return TrafficStored()
        source = f"proxy {window.proxy_id} {window.writer}"
        rows = [
            StoredWindow(one.service_id, window.at, source, contents)
            for one in window.services
            if one.service_id != NO_SERVICE
            for contents in (Point(refused=one.refused, queued=one.queued, replicas=one.replicas).encoded(),)
        ]
        async with transaction(self._pool) as con:
            await metric_history.store(con, [StoredWindow(NO_SERVICE, window.at, source, "{}"), *rows])
        return TrafficStored(stored=len(rows))

    async def history(
        self,
        actor: Actor,
        service: str,
        *,
        names: Sequence[SeriesName],
        by: SeriesBy,
        since: datetime | None,
        until: datetime | None,
        step_s: int | None,
    ) -> MetricHistoryView:
        """Return series of a service. Raises NotFound, Forbidden, InvalidRequest."""
        async with self._pool.acquire() as con:
            facts = (await service_for(con, actor, service, "viewer")).service
        steps = interval(since, until, step_s, self._clock())
        chosen = Chosen(steps, by, names or [name for name, kind in SERIES.items() if by in kind.by])
        wrong = [name for name in chosen.names if by not in SERIES[name].by]
        if wrong:
            raise InvalidRequest.of("by", by, f"{' or '.join(SERIES[wrong[0]].by)} for {wrong[0]}")
        async with self._turns:
            found = await self._found(facts.id, chosen)
        async with self._pool.acquire() as con:
            ids = {one.id for one in found.series if one.id is not None} if by == "revision" else set()
            numbers = await metric_history.numbers(con, ids)
        return history_view(chosen, found, numbers)

    async def _found(self, service_id: ServiceId, chosen: Chosen) -> SeriesFound:
        """Read and sum up, with the sums in a thread: a week of many replicas takes a while."""
        ids = [service_id, NO_SERVICE]
        since, until = chosen.interval.since, chosen.interval.until
        async with self._pool.acquire() as con:
            windows = await metric_history.windows(con, ids, since, until, most=MAX_WINDOWS)
            hours = await metric_history.hours(con, ids, since, until)
            replicas = await metric_history.replicas(con, service_id, since, until, most=MAX_CHANGES)
        samples, heard = await asyncio.to_thread(samples_of, windows, hours)
        revisions = {}
        if chosen.by == "revision":
            async with self._pool.acquire() as con:
                sessions = {one.session_id for sample in samples for one in sample.point.resources}
                revisions = await metric_history.revisions_of(con, sessions)
        return await asyncio.to_thread(series_of, chosen, samples, heard, replicas, revisions)

    async def names(self, actor: Actor, service: str) -> MetricNames:
        """Return the series that there is history of. Raises NotFound, Forbidden."""
        async with self._pool.acquire() as con:
            await service_for(con, actor, service, "viewer")
        return names_view(HISTORY_KEPT)
