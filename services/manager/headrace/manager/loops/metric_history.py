"""Loop that keeps the history of metrics: stores agents' samples, notes replicas, makes hours of old windows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from headrace.common.contracts.ids import ServiceId
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.metric_history.interval import FINE_FOR
from headrace.manager.domain.metric_history.points import Point, ReplicaResources, hour_of
from headrace.manager.domain.metric_history.reading import windows_of
from headrace.manager.domain.records.metric_history import StoredWindow
from headrace.manager.inbox.kernel_samples import KernelSamples
from headrace.manager.store import metric_history

MAX_HOURS: Final = 20
"""Hours of services that a pass makes: 7,200 in an hour."""
MAX_EXAMINED: Final = 1_000
"""Oldest windows of which a pass learns what is due."""
MAX_STORED: Final = 2_000
"""Windows of one statement."""


class MetricHistoryLoop:
    """Any number of managers may run it: each stores what it heard, and an hour is made by the one that deletes its windows."""

    def __init__(self, pool: Pool, samples: KernelSamples, clock: Clock) -> None:
        self._pool = pool
        self._samples = samples
        self._clock = clock

    async def one_pass(self) -> None:
        """Store what was heard since the last pass, and make hours that are due."""
        await self._store()
        async with transaction(self._pool) as con:
            await metric_history.note_replicas(con)
        before = (self._clock() - FINE_FOR).replace(minute=0, second=0, microsecond=0)
        async with self._pool.acquire() as con:
            due = await metric_history.due(con, before, examined=MAX_EXAMINED, most=MAX_HOURS)
        for service_id, hour in due:
            async with transaction(self._pool) as con:
                windows = await metric_history.take(con, service_id, hour)
                if windows:
                    await metric_history.keep_hour(con, service_id, hour, await asyncio.to_thread(_hour, windows))

    async def _store(self) -> None:
        """Store samples of replicas that are where they are said to be."""
        taken = self._samples.take()
        if not taken:
            return
        async with transaction(self._pool) as con:
            known = await metric_history.on_machines(con, {(session, agent) for session, agent, _ in taken})
            rows: dict[tuple[ServiceId, str, datetime], list[ReplicaResources]] = defaultdict(list)
            for (session, agent, at), (service_id, resources) in taken.items():
                if known.get((session, agent)) == service_id:
                    rows[service_id, agent, at].append(resources)
            windows = [
                StoredWindow(service_id, at, f"agent {agent}", Point(resources=tuple(found)).encoded())
                for (service_id, agent, at), found in rows.items()
            ]
            for first in range(0, len(windows), MAX_STORED):
                await metric_history.store(con, windows[first : first + MAX_STORED])


def _hour(windows: Iterable[StoredWindow]) -> str:
    return hour_of(windows_of(windows)).encoded()
