"""Context of a worker: objects shared by all its requests, built once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final

from headrace.appproxy.dataplane.auth.authenticator import Authenticator
from headrace.appproxy.dataplane.balancing.registry import BackendRegistry
from headrace.appproxy.dataplane.headers.cors import CorsPolicy
from headrace.appproxy.dataplane.headers.forwarded import is_trusted
from headrace.appproxy.dataplane.http1.heads import HeadLimits
from headrace.appproxy.dataplane.http1.write_coalescer import WriteCoalescer
from headrace.appproxy.dataplane.ratelimit.address_rate import AddressRate
from headrace.appproxy.dataplane.ratelimit.limiter import RateLimiter
from headrace.appproxy.dataplane.ratelimit.policy import Reservation
from headrace.appproxy.dataplane.request.limits import ProxyLimits
from headrace.appproxy.dataplane.telemetry.access_log import AccessLog
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.dataplane.telemetry.tracing import Tracer
from headrace.appproxy.dataplane.telemetry.usage import UsageMeter
from headrace.common.contracts.reasons.proxy import ProxyReason


@dataclass(slots=True, eq=False)
class Listener:
    """Listening port. `own_port`: a service's own port, None for the shared one."""

    own_port: int | None
    refusing: bool = False
    """True if each response is the last on its connection."""


class HeldBodies:
    """Bytes of request bodies in memory while their service is looked up, over all requests of a worker."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.size = 0

    def change(self, by: int) -> bool:
        """Add (or subtract) bytes; return False, and change nothing, if the sum would exceed the limit."""
        if by > 0 and self.size + by > self.most:
            return False
        self.size += by
        return True


_BYTES: Final = [b"%02x" % byte for byte in range(256)]


class RequestIds:
    """Generator of request ids: 96 random bits of this process, then a counter."""

    def __init__(self) -> None:
        self._prefix = os.urandom(12).hex().encode()
        self._front = self._prefix + b"000000"
        self._number = 0

    def new(self) -> bytes:
        """Return a new id."""
        number = self._number = self._number + 1
        low = number & 0xFF
        if low == 0:
            self._front = b"%b%06x" % (self._prefix, number >> 8)
        return self._front + _BYTES[low]


class DateField:
    """Date field, made once a second."""

    def __init__(self, epoch: Callable[[], float]) -> None:
        self._epoch = epoch
        self._second = 0
        self._field = b""

    def now(self) -> bytes:
        """Return the field with its CRLF."""
        second = int(self._epoch())
        if second != self._second:
            self._second = second
            self._field = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._field


class Tasks:
    """Background tasks of requests, such as a connect or a call of the rate-limit store."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work`, which handles its own errors, and keep a reference until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task


class WorkerContext:
    """Objects shared by all requests of a worker. No attribute is set again after construction.

    now: seconds of a monotonic clock; epoch: seconds since 1970; new_request_id: makes request ids.
    """

    __slots__ = (
        "access_log",
        "authenticator",
        "backends",
        "coalescer",
        "date",
        "epoch",
        "head_limits",
        "held_bodies",
        "new_request_id",
        "now",
        "openai_cors",
        "preflights",
        "proxy_limits",
        "rate_limiter",
        "stats",
        "tasks",
        "tracer",
        "traces",
        "usage",
    )

    def __init__(
        self,
        *,
        proxy_limits: ProxyLimits,
        backends: BackendRegistry,
        authenticator: Authenticator,
        rate_limiter: RateLimiter,
        stats: StatsRegistry,
        usage: UsageMeter,
        tracer: Tracer,
        access_log: AccessLog,
        now: Callable[[], float],
        epoch: Callable[[], float],
        new_request_id: Callable[[], bytes],
        head_limits: HeadLimits,
        coalescer: WriteCoalescer,
        held_bodies: HeldBodies,
        openai_cors: CorsPolicy | None,
        preflights: AddressRate,
    ) -> None:
        self.proxy_limits = proxy_limits
        self.backends = backends
        self.authenticator = authenticator
        self.rate_limiter = rate_limiter
        self.stats = stats
        self.usage = usage
        self.tracer = tracer
        self.traces: bool = tracer.traces
        """True if the tracer must be called for every request."""
        self.access_log = access_log
        self.now = now
        self.epoch = epoch
        self.new_request_id = new_request_id
        self.head_limits = head_limits
        self.coalescer = coalescer
        self.held_bodies = held_bodies
        self.openai_cors = openai_cors
        """CORS policy of the fleet's base URL."""
        self.preflights = preflights
        self.tasks = Tasks()
        self.date = DateField(epoch)

    def settle(self, reservation: Reservation | None, tokens: int | None) -> None:
        """Settle a rate-limit reservation; `tokens` were used, None if unknown."""
        if not self.rate_limiter.settle_now(reservation, tokens):
            self.tasks.spawn(self.rate_limiter.settle(reservation, tokens))

    def trusts(self, address: str) -> bool:
        """Return True if this peer's X-Forwarded-* are trusted."""
        return is_trusted(address, self.proxy_limits.trusted_peers)

    def malformed(self, code: ProxyReason) -> None:
        """Count malformed requests."""
        self.stats.count_malformed(code.value)
