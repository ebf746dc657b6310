"""Access log: a sampled share of successful requests, and failed ones up to a rate limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from headrace.appproxy.dataplane.inspect.usage import cost

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.telemetry.record import RequestRecord

log = structlog.get_logger(__name__)


class AccessLog:
    """Access log: writes `request_ended` events, of failures at most `most_per_s` a second.

    The number of suppressed failures is logged once that second is over. Never logs a token, a credential or a query
    string.
    """

    def __init__(self, *, share: float, most_per_s: int, chance: Callable[[], float], now: Callable[[], float]) -> None:
        self._share = share
        self._most_per_s = most_per_s
        self._chance = chance
        self._now = now
        self._second = 0
        self._written = 0
        self._unwritten = 0

    def ended(self, record: RequestRecord, seconds: float) -> None:
        """Log a request that took `seconds`, if it is sampled."""
        failed = record.status >= 400 or record.broken
        if failed:
            if not self._may_write():
                return
        elif self._chance() >= self._share:
            return
        (log.warning if record.status >= 500 or record.broken else log.info)(
            "request_ended",
            service=record.service or None,
            revision=record.revision or None,
            session_id=record.replica_key or None,
            method=record.method,
            path=record.path,
            status=record.status,
            reason=record.reason or None,
            broken=record.broken or None,
            left=record.caller_gone or None,
            seconds=round(seconds, 6),
            queue_s=record.queued_s,
            first_byte_s=record.first_byte_s,
            bytes_sent=record.bytes_sent,
            tokens=cost(record.tokens),
            retries=record.retries or None,
            client=record.client_name or None,
            caller=record.client_address,
            request_id=record.request_id.decode(),
        )

    def _may_write(self) -> bool:
        second = int(self._now())
        if second != self._second:
            self.log_suppressed()
            self._second, self._written = second, 0
        if self._written >= self._most_per_s:
            self._unwritten += 1
            return False
        self._written += 1
        return True

    def log_suppressed(self, *, last: bool = False) -> None:
        """Log how many failures of the past second were suppressed. Call it about once a second.

        `last`: at the end, include the current second.
        """
        if self._unwritten and (last or int(self._now()) != self._second):
            log.warning("requests_not_logged", failed=self._unwritten, allowed_per_s=self._most_per_s)
            self._unwritten = 0
