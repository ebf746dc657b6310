"""What is remembered of one request, and where it goes once the request has ended: metrics, samples, access log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from headrace.appproxy import metrics
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import RouteTable

log = structlog.get_logger()


@dataclass(slots=True)
class Record:
    """One request. Times are seconds of a clock that only goes forward. Never holds a token or a query string."""

    request_id: str
    method: str
    path: str
    caller: str
    started_s: float
    table: RouteTable | None = None
    session_id: SessionId | None = None
    status: int = 0
    """What the caller got; 0 if it left before."""
    reason: str = ""
    """Why we refused or failed it ourselves; empty where the replica answered."""
    broken: str = ""
    """Why an answer that had begun could not be finished."""
    first_byte_s: float | None = None
    """Seconds from start to the first byte of the answer's body."""
    bytes_sent: int = 0
    retries: int = 0
    upgraded: bool = False
    head: Any = None
    """The answer under way, once its head went out."""
    left: bool = False
    """The caller went before the end."""


@dataclass(slots=True)
class Interval:
    """What one replica did since the last sample."""

    finished: int = 0
    errors: int = 0
    durations: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)


class Seen:
    """Takes the records of ended requests."""

    def __init__(self, *, access_log_share: float, chance: Callable[[], float]) -> None:
        self._share = access_log_share
        self._chance = chance
        self._intervals: dict[SessionId, Interval] = {}

    def take(self) -> dict[SessionId, Interval]:
        """Return what was seen since the last call, by replica."""
        taken, self._intervals = self._intervals, {}
        return taken

    def ended(self, record: Record, now_s: float) -> None:
        """Count and perhaps log a request that has ended at `now_s`."""
        seconds = now_s - record.started_s
        service = record.table.name if record.table else ""
        if record.session_id is not None:
            self._count(record, service, record.session_id, seconds)
        if record.reason and (record.session_id is None or record.status in (429, 503)):
            metrics.REFUSED.labels(service, record.reason).inc()
        failed = record.status >= 400 or bool(record.broken)
        if failed or self._chance() < self._share:
            (log.warning if record.status >= 500 or record.broken else log.info)(
                "request_ended", service=service or None, session_id=record.session_id, method=record.method,
                path=record.path, status=record.status, reason=record.reason or None, broken=record.broken or None,
                left=record.left or None, seconds=round(seconds, 6), first_byte_s=record.first_byte_s,
                bytes_sent=record.bytes_sent, retries=record.retries or None, caller=record.caller,
                request_id=record.request_id,
            )  # fmt: skip

    def _count(self, record: Record, service: str, session_id: SessionId, seconds: float) -> None:
        interval, replica = self._intervals.setdefault(session_id, Interval()), str(session_id)
        code = f"{record.status // 100}xx" if record.status else "left"
        metrics.REQUESTS.labels(service, replica, code).inc()
        interval.finished += 1
        interval.errors += record.status >= 500 or bool(record.broken)
        if record.broken:
            metrics.BROKEN.labels(service, replica, record.broken).inc()
        if record.upgraded or not record.status:
            return
        metrics.REQUEST_SECONDS.labels(service, replica).observe(seconds)
        interval.durations.append(seconds)
        if record.first_byte_s is not None:
            metrics.FIRST_BYTE_SECONDS.labels(service, replica).observe(record.first_byte_s)
            interval.first_bytes.append(record.first_byte_s)
