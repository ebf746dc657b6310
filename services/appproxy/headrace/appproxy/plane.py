"""The data plane of one worker: doors, callers' connections, services, and the sweep that minds the time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import structlog

from headrace.appproxy.domain.access import takes_away
from headrace.appproxy.serving import Serving
from headrace.appproxy.servings import Servings
from headrace.appproxy.traffic.caller import LAST_IDLE_S, CallerConnection
from headrace.appproxy.traffic.pace import Pace
from headrace.appproxy.traffic.parts import Door, Parts
from headrace.appproxy.traffic.recheck import Recheck
from headrace.appproxy.upstream.connection import ReplicaConnection
from headrace.appproxy.upstream.replica import Replica
from headrace.appproxy.view import State
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import RouteTable

log = structlog.get_logger()
_SWEEP_S = 0.1
"""How late a timeout may be."""
_SLOW_SWEEP = 5
"""Every so many sweeps: idle connections to replicas, probes, slow start."""
_EACH_SECOND = 10
"""Every so many: slow bodies, and what was left out of the access log."""
_CLOSE_S = 6.0
"""Longest that each part may take to close at the end; the tracer gives up before."""


class DataPlane:
    """Serves by the tables that `apply` brings, on the sockets that `listen` brings."""

    def __init__(self, parts: Parts, servings: Servings) -> None:
        self.parts = parts
        self.servings = servings
        self._doors: dict[int | None, tuple[Door, asyncio.Server]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._pace = Pace(parts)
        self._recheck = Recheck(parts)

    async def start(self) -> None:
        """Begin to mind the time."""
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    def apply(self, table: RouteTable, slots: Mapping[SessionId, Any]) -> bool:
        """Put a table in use; False if it is not newer. `slots`: columns of its replicas on the workers' board.

        What callers have open who may call no more by it is cut within a few sweeps.
        """
        serving = self.servings.by_id(table.service_id)
        before = None if serving is None else serving.entry.table
        applied = self.servings.apply(table, slots, self.parts.now())
        if applied and serving is not None and before is not None and not table.removed and takes_away(before, table):
            self._recheck.changed(serving)
        return applied

    async def listen(self, sock: socket.socket, own_port: int | None) -> None:
        """Accept on this listening socket. `own_port`: whose port it is, None for the shared one."""
        door = Door(own_port)
        server = await asyncio.get_running_loop().create_server(
            lambda: CallerConnection(self.parts, door), sock=sock, backlog=4096
        )
        self._doors[own_port] = door, server

    async def unlisten(self, own_port: int) -> None:
        """Stop accepting there; idle connections end now, others after the request in hand."""
        door, server = self._doors.pop(own_port)
        server.close()
        self._refuse(door)

    def _refuse(self, door: Door) -> None:
        door.refusing = True
        for line in list(self.parts.callers.open):
            if line.door is door and line.idle:
                line.end()

    @property
    def open_requests(self) -> int:
        """Requests that have not ended."""
        return len(self.parts.open)

    def state(self) -> State:
        """Return what is in hand now (view.State)."""
        return self.servings.state(self.parts.now()) | {"connections": len(self.parts.callers.open)}

    async def drain(self, grace_s: float) -> None:
        """Stop accepting, let every connection end with the answer in hand, and cut what is left after the grace."""
        now = self.parts.now
        for door, server in self._doors.values():
            server.close()
            door.refusing = True
        await asyncio.sleep(0)  # what was accepted already becomes a connection
        until = now() + grace_s
        for line in self.parts.callers.open:
            if line.idle:
                line.deadline = min(line.deadline, now() + min(LAST_IDLE_S, grace_s))
        while self.parts.callers.open and now() < until:  # noqa: ASYNC110 - once, at the very end
            await asyncio.sleep(0.02)
        self.parts.stopping = True
        if self.parts.open:
            log.warning("requests_cut", open=len(self.parts.open))
        for exchange in list(self.parts.open):
            (exchange.line.exchange or exchange).cut("shutting-down")
        await asyncio.sleep(0)
        for line in list(self.parts.callers.open):
            line.close_softly()

    async def close(self) -> None:
        """End everything, within about three times _CLOSE_S. Whatever fails or hangs on the way, all that follows is closed too."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        async with AsyncExitStack() as last:
            last.callback(self.parts.log.tell, last=True)
            last.push_async_callback(_in_time, "tracing", lambda: asyncio.to_thread(self.parts.tracer.close))
            last.push_async_callback(_in_time, "caller-limits", self.parts.limits.close)
            last.push_async_callback(self._end_tasks)
            self._end_traffic()
            await asyncio.sleep(0)  # what was aborted ends
            self.parts.outbox.send()

    def _end_traffic(self) -> None:
        for _, server in self._doors.values():
            server.close()
        for line in list(self.parts.callers.open):
            line.abort()
        for serving in self.servings:
            serving.end()

    async def _end_tasks(self) -> None:
        if not (tasks := list(self.parts.tasks)):
            return
        _, late = await asyncio.wait(tasks, timeout=_CLOSE_S)
        for task in late:
            task.cancel()
        if late:
            log.warning("close_cut", what="tasks", open=len(late))
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(_SWEEP_S)
            turn += 1
            try:
                self._mind_time(slow=turn % _SLOW_SWEEP == 0)
                if turn % _EACH_SECOND == 0:
                    self._pace.look()
                    self.parts.log.tell()
            except Exception:
                log.exception("sweep_failed")

    def _mind_time(self, *, slow: bool) -> None:
        now_s = self.parts.now()
        due = [line for line in self.parts.callers.open if line.deadline <= now_s]
        for line in due:
            line.expired()
        self._recheck.sweep()
        if slow:
            self.servings.forget_old(now_s)
        for serving in self.servings:
            serving.expire(now_s)
            if slow:
                serving.mind(now_s, self.parts.bounds.replica_keepalive_s)
                for replica in serving.due_probes():
                    self.parts.spawn(_probe(serving, replica))


async def _in_time(what: str, close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_CLOSE_S):
            await close()
    except TimeoutError:
        log.warning("close_cut", what=what)


async def _probe(serving: Serving, replica: Replica) -> None:
    """Find out whether a replica that could not be connected to can be now; the connection is kept for the next request."""
    made = await replica.connect()
    if isinstance(made, ReplicaConnection):
        replica.keep(made)
    serving.probed(replica, well=isinstance(made, ReplicaConnection))
