"""Use case of services' metrics as they are now: one look at the last minute for all who ask within a few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from headrace.common.contracts.http.metrics import MetricsNow as MetricsNowView
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.traffic import WINDOW_S
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clocks
from headrace.manager.domain.access import Actor
from headrace.manager.domain.metric_history.points import NO_SERVICE
from headrace.manager.domain.metric_history.reading import samples_of
from headrace.manager.domain.metric_history.sums import Sums
from headrace.manager.domain.records.metric_history import StoredWindow
from headrace.manager.store import metric_history
from headrace.manager.usecases.context import project_for
from headrace.manager.views.metric_history import now_view

log = structlog.get_logger()
NOW_S: Final = 60
"""Length of what counts as now: windows that began so long ago, and are over."""
LOOK_KEPT_S: Final = 5.0
MAX_WINDOWS: Final = 50_000
"""Windows that a look reads: those of 2,000 busy services with four app-proxies."""


@dataclass(frozen=True, slots=True)
class _Look:
    until: datetime
    heard_s: int
    sums: Mapping[ServiceId, Sums]


class MetricsNow:
    """Metrics of all services, up to LOOK_KEPT_S old."""

    def __init__(self, pool: Pool, clocks: Clocks) -> None:
        self._pool = pool
        self._clocks = clocks
        self._looking = asyncio.Lock()
        self._last: tuple[float, _Look] | None = None

    async def now(self, actor: Actor, *, project: str | None) -> MetricsNowView:
        """Return the traffic of the services that the caller sees and that have any. Raises NotFound, Forbidden."""
        async with self._pool.acquire() as con:
            chosen = None if project is None else (await project_for(con, actor, project, "viewer")).id
        look = await self._look()
        async with self._pool.acquire() as con:
            services = await metric_history.visible(con, actor, look.sums.keys(), chosen)
        return now_view(services, look.sums, at=look.until, window_s=NOW_S, heard_s=look.heard_s)

    async def _look(self) -> _Look:
        async with self._looking:  # one looks, the others wait for it
            now_s = self._clocks.monotonic()
            if self._last is None or now_s - self._last[0] > LOOK_KEPT_S:
                seconds = int(self._clocks.utc().timestamp())
                until = datetime.fromtimestamp(seconds - seconds % WINDOW_S, UTC)
                async with self._pool.acquire() as con:
                    windows = await metric_history.lately(con, until - timedelta(seconds=NOW_S), most=MAX_WINDOWS + 1)
                if len(windows) > MAX_WINDOWS:
                    log.warning("metric_windows_skipped", windows=MAX_WINDOWS)
                look = await asyncio.to_thread(_summed, windows[:MAX_WINDOWS], until)
                self._last = now_s, look
            return self._last[1]


def _summed(windows: Sequence[StoredWindow], until: datetime) -> _Look:
    """Return the traffic of each service in windows that are over."""
    by_service: dict[ServiceId, list[StoredWindow]] = {}
    for window in windows:
        if window.at < until:
            by_service.setdefault(window.service_id, []).append(window)
    _, heard = samples_of(by_service.pop(NO_SERVICE, []), ())
    sums: dict[ServiceId, Sums] = {}
    for service_id, own in by_service.items():
        samples, _ = samples_of(own, ())
        found = Sums()
        for sample in samples:
            found.add_waiting(sample.point, sample.span_s)
            for one in sample.point.replicas:
                found.add_traffic(one, sample.span_s)
        if found.busy:
            sums[service_id] = found
    return _Look(until, sum(one.seconds for one in heard), sums)
