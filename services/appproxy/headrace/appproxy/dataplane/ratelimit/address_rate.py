"""Rate limit per client address, for requests that are answered before a caller is known."""

from __future__ import annotations

import time
from collections.abc import Callable

from headrace.appproxy.dataplane.headers.forwarded import address_block
from headrace.appproxy.dataplane.ratelimit.local import LocalRateLimiter
from headrace.appproxy.dataplane.ratelimit.policy import Verdict
from headrace.common.contracts.messages.routes import RateLimits


class AddressRate:
    """Rate limiter per client address; each of `divided_by` workers allows its part.

    Remembers about 10,000 addresses (of IPv6: /64s); the least recently used one is evicted.
    """

    def __init__(self, per_second: float, *, divided_by: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = RateLimits(requests_per_second=per_second)
        self._local = LocalRateLimiter(divided_by, clock=clock)

    def judge(self, address: str) -> Verdict:
        """Count one request of this address; return True if it is allowed."""
        return self._local.reserve(address_block(address), self._limits, 0)
