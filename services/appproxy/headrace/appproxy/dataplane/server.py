"""The data plane of one worker: listeners, downstream connections, backends, and the periodic sweep over deadlines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import structlog

from headrace.appproxy.dataplane.auth.access import revokes_access
from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.balancing.registry import BackendRegistry
from headrace.appproxy.dataplane.request.context import Listener, WorkerContext
from headrace.appproxy.dataplane.request.downstream import LAST_IDLE_S, Downstreams
from headrace.appproxy.dataplane.request.exchange import OpenRequests
from headrace.appproxy.dataplane.request.min_body_rate import MinBodyRate
from headrace.appproxy.dataplane.request.reauthorization import Reauthorizer
from headrace.appproxy.dataplane.upstream.connection import ReplicaConnection
from headrace.appproxy.dataplane.upstream.dead_peers import detect_dead_peer
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.reasons.proxy import ProxyReason

log = structlog.get_logger()
_SWEEP_S = 0.1
"""Interval of the sweep: how late a time-out may be."""
_SLOW_SWEEP = 5
"""Sweeps between two runs of: idle upstream connections, probes, slow start."""
_EACH_SECOND = 10
"""Sweeps between two runs of: slow bodies, suppressed access log lines."""
CLOSE_S = 6.0
"""Longest time for each part to close; the tracer gives up before."""


class DataPlane:
    """Data plane of one worker: serves requests by the applied tables, on the sockets passed to `listen`."""

    def __init__(
        self, context: WorkerContext, backends: BackendRegistry, requests: OpenRequests, downstreams: Downstreams
    ) -> None:
        self.context = context
        self.requests = requests
        self.downstreams = downstreams
        self.backends = backends
        self._listeners: dict[int | None, tuple[Listener, asyncio.Server]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._min_body_rate = MinBodyRate(context, requests)
        self._reauthorizer = Reauthorizer(context, requests)

    async def start(self) -> None:
        """Start the periodic sweep."""
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    def apply(self, table: RouteTable, cells: Mapping[SessionId, InFlightCell]) -> bool:
        """Apply a table; return False if it is not newer. `cells`: its replicas' cells in the in-flight table.

        Open requests whose access the table revokes are cut within a few sweeps.
        """
        backend = self.backends.by_id(table.service_id)
        before = None if backend is None else backend.entry.table
        applied = self.backends.apply(table, cells, self.context.now())
        if (
            applied
            and backend is not None
            and before is not None
            and not table.removed
            and revokes_access(before, table)
        ):
            self._reauthorizer.rights_revoked(backend)
        return applied

    async def listen(self, sock: socket.socket, own_port: int | None) -> None:
        """Accept connections on this listening socket. `own_port`: a service's own port, None for the shared one."""
        listener = Listener(own_port)
        detect_dead_peer(sock, self.context.proxy_limits.caller_user_timeout_s)  # of what is accepted, too
        server = await asyncio.get_running_loop().create_server(
            lambda: self.downstreams.connect(listener), sock=sock, backlog=4096
        )
        self._listeners[own_port] = listener, server

    async def unlisten(self, own_port: int) -> None:
        """Stop accepting on this own port; idle connections close now, others after their current request."""
        listener, server = self._listeners.pop(own_port)
        server.close()
        self._refuse(listener)

    def _refuse(self, listener: Listener) -> None:
        listener.refusing = True
        for downstream in list(self.downstreams.open):
            if downstream.listener is listener and downstream.idle:
                downstream.end()

    @property
    def open_requests(self) -> int:
        """Requests that have not ended."""
        return len(self.requests.open)

    def snapshot(self) -> TrafficSnapshot:
        """Return open, queued and draining requests."""
        return self.backends.snapshot(self.context.now(), connections=len(self.downstreams.open))

    async def drain(self, grace_s: float) -> None:
        """Stop accepting, close each connection after its current response, and cut the rest after the grace."""
        now = self.context.now
        for listener, server in self._listeners.values():
            server.close()
            listener.refusing = True
        await asyncio.sleep(0)  # let accepted sockets become connections
        until = now() + grace_s
        for downstream in self.downstreams.open:
            if downstream.idle:
                downstream.deadline = min(downstream.deadline, now() + min(LAST_IDLE_S, grace_s))
        while self.downstreams.open and now() < until:  # noqa: ASYNC110 - once, at the very end
            await asyncio.sleep(0.02)
        self.requests.stopping = True
        if self.requests.open:
            log.warning("requests_aborted", open=len(self.requests.open))
        for exchange in list(self.requests.open):
            exchange.cut(ProxyReason.SHUTTING_DOWN)
        await asyncio.sleep(0)
        for downstream in list(self.downstreams.open):
            downstream.close_gracefully()

    async def close(self) -> None:
        """Close everything, within about three times CLOSE_S. A step that fails or hangs does not stop the next ones."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        async with AsyncExitStack() as last:
            last.callback(self.context.access_log.log_suppressed, last=True)
            last.push_async_callback(_in_time, "tracing", lambda: asyncio.to_thread(self.context.tracer.close))
            last.push_async_callback(_in_time, "caller-limits", self.context.rate_limiter.close)
            last.push_async_callback(self._end_tasks)
            self._end_traffic()
            await asyncio.sleep(0)  # what was aborted ends
            self.context.coalescer.flush()

    def _end_traffic(self) -> None:
        for _, server in self._listeners.values():
            server.close()
        for downstream in list(self.downstreams.open):
            downstream.abort()
        for backend in self.backends:
            backend.end()

    async def _end_tasks(self) -> None:
        if not (tasks := list(self.context.tasks.running)):
            return
        _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
        for task in late:
            task.cancel()
        if late:
            log.warning("shutdown_step_aborted", what="tasks", open=len(late))
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(_SWEEP_S)
            turn += 1
            try:
                self._check_deadlines(slow=turn % _SLOW_SWEEP == 0)
                if turn % _EACH_SECOND == 0:
                    self._min_body_rate.check()
                    self.context.access_log.log_suppressed()
            except Exception:
                log.exception("sweep_failed")

    def _check_deadlines(self, *, slow: bool) -> None:
        now_s = self.context.now()
        due = [downstream for downstream in self.downstreams.open if downstream.deadline <= now_s]
        for downstream in due:
            downstream.expired()
        self._reauthorizer.sweep()
        if slow:
            self.backends.sweep(now_s)
        for backend in self.backends:
            backend.expire_queued(now_s)
            if slow:
                backend.sweep(now_s, self.context.proxy_limits.replica_keepalive_s)
                for replica in backend.due_probes():
                    self.context.tasks.spawn(_probe(backend, replica))


async def _in_time(what: str, close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await close()
    except TimeoutError:
        log.warning("shutdown_step_aborted", what=what)


async def _probe(backend: Backend, replica: Replica) -> None:
    """Probe an unreachable replica by connecting; the connection is kept for the next request."""
    made = await replica.connect()
    if isinstance(made, ReplicaConnection):
        replica.keep_idle(made)
    backend.record_probe(replica, well=isinstance(made, ReplicaConnection))
