"""A replica in one worker: address, open requests, idle connections, drain counts."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from headrace.appproxy.dataplane.http1.heads import HeadLimits
from headrace.appproxy.dataplane.http1.write_coalescer import WriteCoalescer
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats
from headrace.appproxy.dataplane.upstream.connection import ConnectionPool, ReplicaConnection
from headrace.appproxy.dataplane.upstream.dead_peers import detect_dead_peer
from headrace.appproxy.dataplane.upstream.draining import NEVER, drain_deadline
from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.appproxy.dataplane.upstream.model_names import fetch_model_names
from headrace.appproxy.dataplane.upstream.open_request import OpenRequest
from headrace.appproxy.dataplane.upstream.peer_check import is_forbidden_peer
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell
from headrace.appproxy.ipc.snapshot import DrainCounts
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Route
from headrace.common.contracts.reasons.proxy import ProxyReason
from headrace.common.runtime.clock import Clocks

_MAX_IDLE: Final = 512
"""Idle connections kept to one replica."""


class DrainCounter:
    """Counts the outcomes of a replica's requests since its drain began."""

    __slots__ = ("cut", "failed", "finished", "retried", "slowest_s", "started")

    def __init__(self, started: int) -> None:
        self.started = started
        self.finished = self.retried = self.failed = self.cut = 0
        self.slowest_s = 0.0

    def ended(self, seconds: float, *, was_cut: bool, failed: bool) -> None:
        """Count a request that ended after `seconds`."""
        self.slowest_s = max(self.slowest_s, seconds)
        if was_cut:
            self.cut += 1
        elif failed:
            self.failed += 1
        else:
            self.finished += 1

    def counts(self, in_flight: int) -> DrainCounts:
        """Return the counts for a report, with the number of open requests."""
        return DrainCounts(
            in_flight=in_flight,
            started=self.started,
            finished=self.finished,
            retried=self.retried,
            failed=self.failed,
            cut=self.cut,
            slowest_s=self.slowest_s,
        )


ASK_AGAIN_S: Final = 60.0
"""Time before the model names of an engine that timed out are fetched again."""


class Replica(ConnectionPool):
    """Replica in one worker; lives as long as its session is in the table or has open requests. A new table changes
    `route` only.

    `open` holds the exchanges on it: its load is their number, plus that of the other workers from the in-flight table.
    """

    __slots__ = (
        "_ask_at_s",
        "_asking",
        "_clocks",
        "_coalescer",
        "_connect_s",
        "_drain_deadline_s",
        "_limits",
        "_now",
        "_shared",
        "_user_timeout_s",
        "authority",
        "drain",
        "host_field",
        "idle",
        "key",
        "models",
        "open",
        "retired",
        "route",
        "session_id",
        "share",
        "stats",
        "weight",
    )

    def __init__(
        self,
        route: Route,
        stats: ReplicaStats,
        limits: HeadLimits,
        coalescer: WriteCoalescer,
        *,
        clocks: Clocks,
        connect_s: float,
        user_timeout_s: float,
    ) -> None:
        self.session_id: SessionId = route.session_id
        self.key = str(route.session_id)
        self.stats = stats
        self.open: set[OpenRequest] = set()
        self.idle: list[ReplicaConnection] = []
        self.drain: DrainCounter | None = None
        self.retired = False
        """True once the table does not have it any more."""
        self.share = 1.0
        """Slow start: the effective part of its weight."""
        self._limits = limits
        self._coalescer = coalescer
        self._clocks = clocks
        self._now = clocks.monotonic
        self._connect_s = connect_s
        self._user_timeout_s = user_timeout_s
        self.models: tuple[str, ...] | None = None
        """The engine's model names, once fetched."""
        self._ask_at_s = 0.0
        self._asking: asyncio.Task[tuple[str, ...] | None] | None = None
        self._shared: InFlightCell | None = None
        self._drain_deadline_s = NEVER
        self.route = route
        self.weight = 0
        self.authority = self.host_field = b""
        self.update(route)

    def update(self, route: Route) -> None:
        """Apply the route of a new table. A changed address drops the idle connections."""
        authority = f"{f'[{route.host}]' if ':' in route.host else route.host}:{route.port}".encode()
        if authority != self.authority:
            self.authority = authority
            self.host_field = b" HTTP/1.1\r\nHost: " + authority + b"\r\n"
            self.models = self._asking = None
            self._ask_at_s = 0.0
            self.close_idle()
        if self._drain_deadline_s == NEVER or route.drain_until != self.route.drain_until:
            self._drain_deadline_s = drain_deadline(route, self._clocks.utc(), self._now())
        self.route = route
        self.weight = route.weight
        if route.state == "draining" and self.drain is None:
            self.drain = DrainCounter(len(self.open))

    def share_count(self, shared: InFlightCell) -> None:
        """Share the number of open requests with the other workers."""
        self._shared = shared
        shared.publish(len(self.open))

    @property
    def in_flight(self) -> int:
        """Open requests, of all workers."""
        shared = self._shared
        return len(self.open) if shared is None else len(self.open) + shared.others()

    def acquire(self, request: OpenRequest) -> ReplicaConnection | None:
        """Add an open request; return an idle connection for it, or None if there is none."""
        self.open.add(request)
        if self._shared is not None:
            self._shared.publish(len(self.open))
        return self.take_idle() if self.idle else None

    def release(self, request: OpenRequest) -> None:
        """Remove an open request: it ended, or goes elsewhere. Idempotent."""
        self.open.discard(request)
        if self._shared is not None:
            self._shared.publish(len(self.open))

    def cut_overdue(self, now_s: float) -> None:
        """Cut the open requests once the drain's grace is over."""
        if now_s >= self._drain_deadline_s:
            for request in list(self.open):
                request.cut_now(ProxyReason.REPLICA_STOPPED)

    def move_requests(self) -> None:
        """Move open requests without a response to other replicas after an ejection, where that is safe."""
        for request in list(self.open):
            request.move()

    def take_idle(self) -> ReplicaConnection | None:
        """Return the idle connection that was used last, or None."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    def keep_idle(self, connection: ReplicaConnection) -> None:
        """Return a connection to the pool."""
        if len(self.idle) >= _MAX_IDLE:
            connection.end()
            return
        connection.idle_since = self._now()
        self.idle.append(connection)

    def forget(self, connection: ReplicaConnection) -> None:
        """Remove a connection that has ended."""
        if connection in self.idle:
            self.idle.remove(connection)

    def close_idle(self, before_s: float = float("inf")) -> None:
        """Close the connections that are idle since before this time ; the oldest come first."""
        number = 0
        for connection in self.idle:
            if connection.idle_since >= before_s:
                break
            number += 1
        stale, self.idle[:] = self.idle[:number], self.idle[number:]
        for connection in stale:
            connection.end()

    async def fetch_models(self) -> None:
        """Fetch the engine's model names; concurrent callers share one fetch.

        After a failed fetch the next request fetches again; after a time-out one after ASK_AGAIN_S does, so that
        requests do not wait for it each time.
        """
        asking = self._asking
        if asking is None and self._now() < self._ask_at_s:
            return
        if asking is None:
            asking = self._asking = asyncio.get_running_loop().create_task(
                fetch_model_names(self.route.host, self.route.port, self.authority)
            )
        found: tuple[str, ...] | None = None
        silent = False
        try:
            found = await asyncio.shield(asking)
        except TimeoutError:
            silent = True
        if self._asking is asking:  # else its address has changed
            self._asking = None
            self.models = found
            if silent:
                self._ask_at_s = self._now() + ASK_AGAIN_S

    async def connect(self) -> ReplicaConnection | Failure:
        """Return a new connection, or the failure. Its text never names the address: callers read it."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await loop.create_connection(
                    lambda: ReplicaConnection(self, self._limits, self._coalescer), self.route.host, self.route.port
                )
        except TimeoutError:
            return Failure(ProxyReason.CONNECT_TIMEOUT, f"no connection to replica {self.key} in time")
        except OSError as error:
            words = os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__
            return Failure(ProxyReason.CONNECT_FAILED, f"no connection to replica {self.key}: {words}")
        if is_forbidden_peer(self.route.host, connection.transport):
            connection.drop()
            return Failure(
                ProxyReason.CONNECT_FAILED,
                f"no connection to replica {self.key}: its machine's name leads where none may be",
            )
        detect_dead_peer(connection.transport.get_extra_info("socket"), self._user_timeout_s)
        return connection
