"""Pool of worker processes: starts and restarts them, sends them tables and listening sockets, and aggregates their
reports.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, assert_never

import structlog

from headrace.appproxy.control.workers.acks import AppliedGenerations, DrainTotals
from headrace.appproxy.control.workers.process import WorkerProcess
from headrace.appproxy.control.workers.rows import RowAllocator
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.dataplane.upstream.shared_load import InFlightTable
from headrace.appproxy.ipc.codec import EncodedMessage
from headrace.appproxy.ipc.messages import (
    PARENT_MESSAGES,
    ApplyTable,
    Drain,
    Leaving,
    Listen,
    ParentMessage,
    Report,
    Start,
    Synced,
    Unlisten,
    WorkerMessage,
)
from headrace.appproxy.ipc.snapshot import TrafficSnapshot, merge_snapshots
from headrace.appproxy.ipc.usage import UsageSums
from headrace.appproxy.settings import Settings
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.reasons.proxy import ProxyReason

log = structlog.get_logger()
_DIED: Final = ProxyReason.WORKER_DIED.value
_ROWS = 8192
"""Rows of the in-flight table: replicas whose load workers share; of further ones each worker counts its own requests
only."""
_CRASHED_AT_START_S = 5.0
"""A worker that exits sooner after its start than this is restarted after a back-off, which doubles."""
_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 5.0
_WATCH_EVERY_S = 0.25
"""Interval of the watchdog."""
_WATCHES_PER_SECOND = 4
"""Watchdog intervals in a second."""
_CLOSE_S = 5.0
"""Time allowed for cutting and closing after the grace."""


class WorkerPool:
    """Supervisor of the worker processes, with the same interface as InlineWorker.

    Their counters are added to `registry` and `usage` with each report. A worker that dies is replaced on the same sockets, which
    are held here: connections in the accept queue are served by its successor. A worker that got SIGTERM serves until
    its successor is ready, then drains and exits.
    """

    name = "traffic"

    def __init__(self, settings: Settings, tables: list[RouteTable], registry: StatsRegistry, usage: UsageSums) -> None:
        self._settings = settings
        self._count = settings.workers
        self._registry = registry
        self._usage = usage
        self.notify: Callable[[], None] = lambda: None
        """Called at changes that are to be reported at once."""
        self.ready = asyncio.Event()
        """Set once every worker is ready for the first time."""
        self.stopping = False
        self._stop = asyncio.Event()
        self._heard = asyncio.Event()
        self._workers: list[WorkerProcess] = []
        self._columns = list(range(2 * self._count + 2))
        """Free columns of the in-flight table: as many workers may be draining as serve."""
        self._in_flight: InFlightTable | None = None
        self._rows = RowAllocator(_ROWS)
        self._generations = AppliedGenerations()
        self._drain_totals = DrainTotals()
        self._sequence = 0
        """Sequence number of the last change sent to all workers (messages.py)."""
        self.handover = ""
        """Instance id of this process, for workers that may outlive it until another one serves (handover.py)."""
        self._tables: dict[ServiceId, tuple[EncodedMessage, frozenset[SessionId]]] = {}
        """By service: the encoded table, for workers that start later, and its replicas."""
        self._ports: dict[int | None, list[socket.socket]] = {}
        self._group = asyncio.TaskGroup()
        for table in tables:
            self.apply(table)

    # --- what its users call

    async def run(self) -> None:
        """Run the workers until stop(), then drain them within the grace."""
        self._in_flight = InFlightTable.make(rows=_ROWS, columns=len(self._columns))
        try:
            async with self._group as group:
                for number in range(self._count):
                    group.create_task(self._supervise(number, self._in_flight))
                minding = group.create_task(self._watch_all())
                await self._stop.wait()
                self._close_ports()
                self._broadcast(Drain(grace_s=self._settings.shutdown_grace_s))
                await self._wait_for_exits(self._settings.shutdown_grace_s + _CLOSE_S)
                minding.cancel()
        finally:
            for worker in self._workers:
                worker.kill()
            self._close_ports()
            self._in_flight.close()
            self._in_flight = None

    def stop(self) -> None:
        """End run()."""
        self.stopping = True
        self._stop.set()
        self._heard.set()

    def apply(self, table: RouteTable) -> None:
        """Send a table to all workers; it is encoded once."""
        self._sequence += 1
        sessions = frozenset(() if table.removed else (route.session_id for route in table.routes))
        rows = {session_id: row for session_id in sessions if (row := self._rows.take(session_id)) is not None}
        if len(rows) < len(sessions):
            log.warning("in_flight_table_full", service=table.name, replicas=len(sessions), with_row=len(rows))
        _, before = self._tables.pop(table.service_id, (None, frozenset[SessionId]()))
        self._rows.release(before - sessions, self._sequence)
        message = PARENT_MESSAGES.encode(ApplyTable(sequence=self._sequence, table=table, rows=rows))
        if not table.removed:
            self._tables[table.service_id] = message, sessions
        self._generations.sent(self._sequence, table.service_id, None if table.removed else table.generation)
        for worker in self._workers:
            worker.send_encoded(message)
        self._process_acknowledgements()

    async def listen(self, own_port: int | None, sockets: list[socket.socket]) -> None:
        """Make all workers accept on these sockets; returns once every worker does, or the pool ends."""
        self._sequence += 1
        mine = self._ports[own_port] = [sock.dup() for sock in sockets]
        for worker in self._workers:
            if not worker.leaving:
                self._send_port(worker, own_port, mine)
        sequence = self._sequence
        while not (self.stopping or self._all_applied(sequence)):
            self._heard.clear()
            await self._heard.wait()

    async def unlisten(self, own_port: int) -> None:
        """Make all workers stop accepting on this own port."""
        self._sequence += 1
        _close(self._ports.pop(own_port, []))
        self._broadcast(Unlisten(sequence=self._sequence, own_port=own_port))

    def snapshot(self) -> TrafficSnapshot:
        """Return the sum of the workers' last snapshots."""
        return merge_snapshots([*(worker.snapshot for worker in self._workers), self._drain_totals.snapshot])

    def generations(self) -> dict[ServiceId, int]:
        """Return the generation of each service's table that every worker has applied."""
        return self._generations.confirmed()

    def alive(self) -> int:
        """Return the number of workers that are ready."""
        return 0 if self.stopping else sum(worker.ready and not worker.leaving for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        """Return the pids of the workers that are ready and not leaving, by worker number."""
        serving = [worker for worker in self._workers if worker.ready and not worker.leaving]
        return [worker.pid for worker in sorted(serving, key=lambda worker: worker.number)]

    # --- keeping

    async def _supervise(self, number: int, in_flight: InFlightTable) -> None:
        """Supervise the worker with this number until the pool ends: start it, and replace it when it exits or asks to
        be.
        """
        backoff_s = 0.0
        while not self.stopping:
            worker = await self._start(number, in_flight)
            await worker.needs_successor.wait()
            lived_s = time.monotonic() - worker.started_s
            backoff_s = (
                0.0 if lived_s >= _CRASHED_AT_START_S else min(_MAX_BACKOFF_S, max(_FIRST_BACKOFF_S, 2 * backoff_s))
            )
            if worker.leaving or self.stopping:
                continue
            log.error(
                "worker_died",
                worker=number,
                pid=worker.pid,
                how=worker.exit_reason,
                lived_s=round(lived_s, 3),
                again_in_s=backoff_s,
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await self._stop.wait()

    async def _start(self, number: int, in_flight: InFlightTable) -> WorkerProcess:
        """Start a worker, send it all tables and ports, and return it with its exit watched."""
        while not self._columns:  # each draining worker has one, until it exits
            oldest = min((w for w in self._workers if w.leaving), key=lambda w: w.started_s)
            oldest.kill()
            self._heard.clear()
            await self._heard.wait()
        worker = WorkerProcess(number, self._columns.pop(0), self._on_message)
        self._workers.append(worker)
        try:
            await worker.start()
        except OSError as error:
            log.error("worker_not_started", worker=number, why=error.strerror)  # noqa: TRY400 - the system's word is enough
        else:
            self._send_everything(worker, in_flight)
            log.info("worker_started", worker=number, pid=worker.pid)
        self._group.create_task(self._watch(worker, in_flight))
        return worker

    def _send_everything(self, worker: WorkerProcess, in_flight: InFlightTable) -> None:
        """Send a new worker all tables and ports.

        It receives every later change too, so it never serves from an older table.
        """
        start = Start(
            number=worker.number,
            workers=self._count,
            column=worker.column,
            rows=_ROWS,
            settings=self._settings,
            handover=self.handover,
        )
        worker.send(start, in_flight.fds)
        for message, _ in self._tables.values():
            worker.send_encoded(message)
        for own_port, sockets in self._ports.items():
            self._send_port(worker, own_port, sockets)
        worker.send(Synced(sequence=self._sequence))
        worker.acknowledged = self._sequence
        if self.stopping:
            worker.send(Drain(grace_s=0.0))

    def _send_port(self, worker: WorkerProcess, own_port: int | None, sockets: list[socket.socket]) -> None:
        worker.send(Listen(sequence=self._sequence, own_port=own_port), [sockets[worker.number].fileno()])

    async def _watch(self, worker: WorkerProcess, in_flight: InFlightTable) -> None:
        """Clean up after a worker that exited."""
        await worker.watch()
        self._workers.remove(worker)
        for session_id, row in self._rows.items():
            lost = in_flight.in_flight(row, worker.column)
            if lost and (stats := self._registry.replicas.get(session_id)):
                stats.broken[_DIED] = stats.broken.get(_DIED, 0) + lost
        in_flight.clear(worker.column)
        self._columns.append(worker.column)
        self._drain_totals.add(worker.snapshot, time.monotonic())
        worker.snapshot = TrafficSnapshot()
        if worker.leaving:
            log.info("worker_exited", worker=worker.number, pid=worker.pid, how=worker.exit_reason)
        self._process_acknowledgements()
        self._heard.set()
        self.notify()

    async def _watch_all(self) -> None:
        """Kill hanging workers and forget expired drain totals, until cancelled.

        A killed worker is replaced on the same sockets: connections accepted by the kernel meanwhile are served by its
        successor.
        """
        turn = 0
        while True:
            before_s = time.monotonic()
            await asyncio.sleep(_WATCH_EVERY_S)
            now_s = time.monotonic()
            if now_s - before_s < 2 * _WATCH_EVERY_S:  # else this process itself was held up
                self._kill_hanging(now_s)
            turn += 1
            if turn % _WATCHES_PER_SECOND == 0:
                self._drain_totals.forget({one for _, sessions in self._tables.values() for one in sessions}, now_s)
                self._process_acknowledgements()

    def _kill_hanging(self, now_s: float) -> None:
        for worker in self._workers:
            if (why := worker.hang_reason(now_s)) is not None:
                silent_s = round(now_s - worker.heard_s, 3)
                log.error("worker_hung", worker=worker.number, pid=worker.pid, why=why, silent_s=silent_s)
                worker.kill()

    def _close_ports(self) -> None:
        for sockets in self._ports.values():
            _close(sockets)
        self._ports.clear()

    async def _wait_for_exits(self, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._workers:
                    self._heard.clear()
                    await self._heard.wait()
        for worker in self._workers:
            log.warning("worker_killed", worker=worker.number, pid=worker.pid)
            worker.kill()

    # --- hearing

    def _on_message(self, worker: WorkerProcess, message: WorkerMessage) -> None:
        match message:
            case Leaving():
                worker.mark_leaving()
            case Report():
                self._registry.merge(message.stats)
                self._usage.add(message.usage)
                worker.snapshot = message.snapshot
                worker.acknowledged = max(worker.acknowledged, message.sequence)
                if message.ready and not worker.ready:
                    self._mark_ready(worker)
                if self._process_acknowledgements() or message.changed:
                    self.notify()
                self._heard.set()
            case _:
                assert_never(message)

    def _mark_ready(self, worker: WorkerProcess) -> None:
        worker.ready = True
        for other in self._workers:
            if other.leaving and other.number == worker.number:
                other.send(Drain(grace_s=self._settings.shutdown_grace_s))
        if self.alive() == self._count:
            self.ready.set()

    def _process_acknowledgements(self) -> bool:
        """Process the workers' acknowledgements; return True if there is a change to report to the manager."""
        applied = min((worker.acknowledged for worker in self._workers), default=self._sequence)
        if self._in_flight is not None:
            self._rows.sweep(applied, self._in_flight.is_empty)
        return self._generations.acknowledged(applied)

    def _all_applied(self, sequence: int) -> bool:
        serving = [worker for worker in self._workers if worker.ready and not worker.leaving]
        return len(serving) == self._count and all(worker.acknowledged >= sequence for worker in serving)

    def _broadcast(self, message: ParentMessage) -> None:
        content = PARENT_MESSAGES.encode(message)
        for worker in self._workers:
            worker.send_encoded(content)


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
