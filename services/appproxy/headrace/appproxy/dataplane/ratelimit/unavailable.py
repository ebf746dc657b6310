"""The error for a rate-limit store (Redis) that does not answer."""

from __future__ import annotations

from headrace.appproxy.dataplane.ratelimit.policy import Reservation


class RateLimitStoreError(Exception):
    """Redis did not answer in time, or not as expected; the operation may or may not have been done.

    `lease` is what a reserve() may have left behind: pass it to settle() with 0 tokens and `replayed`, once Redis is
    back.
    """

    def __init__(self, why: str, lease: Reservation | None = None) -> None:
        super().__init__(why)
        self.lease = lease
