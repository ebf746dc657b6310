"""One line per request: a share of the successful ones, and the failed ones up to a bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from headrace.appproxy.domain.answer_usage import cost

if TYPE_CHECKING:
    from headrace.appproxy.traffic.accounts import Account

log = structlog.get_logger(__name__)


class AccessLog:
    """Writes `request_ended`. At most `most_per_s` failures a second; how many more there were is said once that second is over.

    Never writes a token, a credential or a query string.
    """

    def __init__(self, *, share: float, most_per_s: int, chance: Callable[[], float], now: Callable[[], float]) -> None:
        self._share = share
        self._most_per_s = most_per_s
        self._chance = chance
        self._now = now
        self._second = 0
        self._written = 0
        self._unwritten = 0

    def ended(self, account: Account, seconds: float) -> None:
        """Perhaps log a request that took `seconds`."""
        failed = account.status >= 400 or account.broken
        if failed:
            if not self._may_write():
                return
        elif self._chance() >= self._share:
            return
        (log.warning if account.status >= 500 or account.broken else log.info)(
            "request_ended", service=account.service or None, revision=account.revision or None,
            session_id=account.replica_key or None, method=account.method, path=account.path, status=account.status,
            reason=account.reason or None, broken=account.broken or None, left=account.left or None,
            seconds=round(seconds, 6), queue_s=account.queued_s, first_byte_s=account.first_byte_s,
            bytes_sent=account.bytes_sent, tokens=cost(account.tokens), retries=account.retries or None,
            client=account.client or None, caller=account.caller, request_id=account.request_id.decode(),
        )  # fmt: skip

    def _may_write(self) -> bool:
        second = int(self._now())
        if second != self._second:
            self.tell()
            self._second, self._written = second, 0
        if self._written >= self._most_per_s:
            self._unwritten += 1
            return False
        self._written += 1
        return True

    def tell(self, *, last: bool = False) -> None:
        """Say how many failures of a second that is over were not written, if any were not. To be called about once a second.

        `last`: also of the second that is not over.
        """
        if self._unwritten and (last or int(self._now()) != self._second):
            log.warning("requests_not_logged", failed=self._unwritten, allowed_per_s=self._most_per_s)
            self._unwritten = 0
