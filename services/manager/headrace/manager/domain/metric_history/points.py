"""Stored history: windows of ten seconds by source, and hours by minutes.

Fields have defaults, and empty ones are left out, since rows of several versions lie side by side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId
from headrace.common.contracts.messages.traffic import WINDOW_S, ReplicaTraffic, added

NO_SERVICE: Final = ServiceId(UUID(int=0))
"""Service of the rows that say that an app-proxy was heard."""
MINUTE_S: Final = 60
_MEANS: Final = ("cpu_cores", "memory_bytes", "gpu_percent", "gpu_memory_percent")


class ReplicaResources(BaseModel):
    """Resources that a replica used, mean of the interval."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    session_id: SessionId
    cpu_cores: float | None = None
    memory_bytes: float | None = None
    gpu_percent: float | None = None
    gpu_memory_percent: float | None = None


class Point(BaseModel):
    """What was counted and measured of a service in one interval."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    refused: dict[str, int] = {}
    queued: float = 0.0
    replicas: tuple[ReplicaTraffic, ...] = ()
    resources: tuple[ReplicaResources, ...] = ()

    def encoded(self) -> str:
        """Return it as it is stored."""
        return self.model_dump_json(exclude_defaults=True)


class Minute(Point):
    """Minute of an hour."""

    minute: int
    windows: int = 0
    """Windows in which app-proxies were heard; only of NO_SERVICE."""


class Hour(BaseModel):
    """Minutes of an hour in which there was something."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    minutes: tuple[Minute, ...] = ()

    def encoded(self) -> str:
        """Return it as it is stored."""
        return self.model_dump_json(exclude_defaults=True)


def hour_of(windows: Iterable[tuple[datetime, Point]]) -> Hour:
    """Return the windows of an hour by minutes, with all sources summed."""
    by_minute: dict[int, list[tuple[datetime, Point]]] = defaultdict(list)
    for at, point in windows:
        by_minute[at.minute].append((at, point))
    return Hour(minutes=tuple(_minute(number, found) for number, found in sorted(by_minute.items())))


def _minute(number: int, windows: Sequence[tuple[datetime, Point]]) -> Minute:
    refused: dict[str, int] = {}
    replicas: dict[tuple[RevisionId, SessionId | None], ReplicaTraffic] = {}
    resources: dict[SessionId, list[ReplicaResources]] = defaultdict(list)
    part = WINDOW_S / MINUTE_S
    for _, point in windows:
        refused = added(refused, point.refused)
        for one in point.replicas:
            key, scaled = (one.revision_id, one.session_id), one.model_copy(update={"in_flight": one.in_flight * part})
            replicas[key] = replicas[key].plus(scaled) if key in replicas else scaled
        for used in point.resources:
            resources[used.session_id].append(used)
    return Minute(
        minute=number,
        windows=len({at for at, _ in windows}),
        refused=refused,
        queued=sum(point.queued for _, point in windows) * part,
        replicas=tuple(replicas.values()),
        resources=tuple(
            ReplicaResources(session_id=session_id, **{name: _mean(found, name) for name in _MEANS})
            for session_id, found in resources.items()
        ),
    )


def _mean(found: Sequence[ReplicaResources], name: str) -> float | None:
    values = [value for one in found if (value := getattr(one, name)) is not None]
    return round(sum(values) / len(values), 3) if values else None
