"""The worker process: applies its parent's messages to a data plane, and reports to it.

On SIGTERM it asks to be replaced, and accepts connections until its successor is ready; then it drains within the
grace. When its parent dies (the channel ends), it drains soon too: it would get no more route tables. If a service
manager keeps the listening sockets for the next app-proxy, it serves until that one does.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from contextlib import suppress
from typing import assert_never

import structlog
import uvloop

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.server import DataPlane
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell, InFlightTable
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.file_limit import descriptor_limit
from headrace.appproxy.ipc.channel import Channel, FrameReader, Received, receive
from headrace.appproxy.ipc.codec import ChannelError, UnknownMessageError
from headrace.appproxy.ipc.handover import successor_serves
from headrace.appproxy.ipc.messages import (
    PARENT_MESSAGES,
    WORKER_MESSAGES,
    ApplyTable,
    Drain,
    Leaving,
    Listen,
    ParentMessage,
    Report,
    Start,
    Synced,
    Unlisten,
)
from headrace.appproxy.ipc.usage_files import FOLDER, UsageFiles, batch_of
from headrace.appproxy.worker.shares import settings_for, table_for
from headrace.appproxy.worker.waker import QueueWaker
from headrace.common.contracts.ids import ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.usage import MAX_ROWS
from headrace.common.obs.logging import configure_logging

log = structlog.get_logger()
_REPORT_EVERY_S = 0.25
"""Shorter than the parent's interval, so that its rates do not fluctuate."""
_REPORT_PAUSE_S = 0.05
_HANDOVER_S = 10.0
"""Longest wait for a successor before it stops accepting without one."""
_ORPHANS_GRACE_S = 5.0
_LAST_REPORT_S = 5.0
"""Longest time for a parent to read the last report."""
_COLLECT_AFTER = (20_000, 20, 50)


class Worker:
    """Worker process: applies its parent's messages in order and reports to it. `reader` may hold messages that were
    already received.
    """

    def __init__(
        self, start: Start, descriptors: list[int], sock: socket.socket, reader: FrameReader[ParentMessage]
    ) -> None:
        self._workers = start.workers
        self._column = start.column
        self._handover = start.handover
        self._settings = settings_for(start.settings, self._workers, descriptors=descriptor_limit())
        self._in_flight = InFlightTable(descriptors[0], descriptors[1:], rows=start.rows)
        self._cells: dict[SessionId, InFlightCell] = {}
        self._of_service: dict[ServiceId, set[SessionId]] = {}
        self._messages: asyncio.Queue[Received[ParentMessage] | ChannelError] = asyncio.Queue()
        """Error in the message after those."""
        self._channel = Channel(sock, reader, heard=self._messages.put_nowait, ended=self._channel_ended)
        self._plane: DataPlane = build_data_plane(
            self._settings, RouteTables(), notify=self._notify, workers=self._workers
        )
        self._queue_waker = QueueWaker(self._plane.backends, self._cells)
        self._succession: asyncio.Task[None] | None = None
        self._sequence = 0
        """Sequence number of the parent's last change that is applied."""
        self._ready = False
        self._parent_lost = False
        self._changed = asyncio.Event()
        """Set at changes that the parent should get at once."""
        self._grace: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """Set at the end: the grace of open requests."""

    async def run(self) -> None:
        """Serve until Drain, SIGTERM, or the parent's end.

        The data plane is closed also when a message cannot be applied, which is raised: an event loop with open Redis
        connections may never end.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._sigterm)
        wakeup_fd = self._in_flight.wakeup_fd(self._column)
        loop.add_reader(wakeup_fd, self._wakeup)
        await self._plane.start()
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._apply_messages()), group.create_task(self._keep_reporting())]
                try:
                    await self._plane.drain(await self._grace)
                finally:
                    self._queue_waker.end()
                    await self._plane.close()
                for task in background:
                    task.cancel()
        finally:
            self._report()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_REPORT_S):
                    await self._channel.flushed()
            await self._store_usage()
            loop.remove_reader(wakeup_fd)
            self._channel.close()

    # --- messages from the parent

    async def _apply_messages(self) -> None:
        while True:
            received = await self._messages.get()
            if isinstance(received, ChannelError):
                raise received
            await self._handle(*received)
            self._changed.set()

    async def _handle(self, message: ParentMessage, descriptors: list[int]) -> None:
        match message:
            case ApplyTable():
                self._apply(message.table, message.rows)
            case Listen():
                await self._plane.listen(socket.socket(fileno=descriptors[0]), message.own_port)
            case Unlisten():
                await self._plane.unlisten(message.own_port)
            case Synced():
                freeze_heap()
                self._ready = True
            case Drain():
                self._end(message.grace_s)
                return
            case Start():
                raise UnknownMessageError("a second start")
            case _:
                assert_never(message)
        self._sequence = message.sequence

    def _apply(self, table: RouteTable, rows: dict[SessionId, int]) -> None:
        mine: dict[SessionId, InFlightCell] = {}
        for route in () if table.removed else table.routes:
            row = rows.get(route.session_id)
            if row is not None:
                mine[route.session_id] = self._cells.get(route.session_id) or self._in_flight.cell(row, self._column)
        for gone in self._of_service.pop(table.service_id, set()) - mine.keys():
            self._cells.pop(gone).claim(wanted=False)
        self._cells.update(mine)
        if mine:
            self._of_service[table.service_id] = set(mine)
        self._plane.apply(table_for(table, self._workers), mine)

    # --- reports to the parent

    def _notify(self) -> None:
        """Called by the data plane, inside a request's work, when a waiting request or the parent must learn of a
        change.
        """
        self._queue_waker.poke()
        self._changed.set()

    def _wakeup(self) -> None:
        self._in_flight.clear_wakeup(self._column)
        self._queue_waker.poke()

    async def _keep_reporting(self) -> None:
        while True:
            changed = self._changed.is_set()
            self._changed.clear()
            self._report(changed=changed)
            await asyncio.sleep(_REPORT_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_EVERY_S):
                    await self._changed.wait()

    def _report(self, *, changed: bool = True) -> None:
        report = Report(
            sequence=self._sequence,
            ready=self._ready,
            changed=changed,
            snapshot=self._plane.snapshot(),
            stats=self._plane.context.stats.take(),
            usage=() if self._parent_lost else self._plane.context.usage.take(),
        )
        self._channel.send(WORKER_MESSAGES.encode(report))

    async def _store_usage(self) -> None:
        """Write to disk what was counted since the parent died, for the next parent to send."""
        counts = self._plane.context.usage.take()
        files, writer = UsageFiles(self._settings.data_dir / FOLDER), new_uuid()
        for sequence, begin in enumerate(range(0, len(counts), MAX_ROWS), 1):
            some = counts[begin : begin + MAX_ROWS]
            try:
                await asyncio.to_thread(files.write, batch_of(self._settings.id, writer, sequence, some))
            except OSError as error:
                log.warning("usage_not_stored", why=error.strerror, requests=sum(one.requests for one in some))

    # --- the end

    def _sigterm(self) -> None:
        self._channel.send(WORKER_MESSAGES.encode(Leaving()))
        asyncio.get_running_loop().call_later(_HANDOVER_S, self._end, self._settings.shutdown_grace_s)

    def _channel_ended(self, error: ChannelError | None) -> None:
        if error is not None:
            self._messages.put_nowait(error)
        elif not self._grace.done():
            self._parent_exited()

    def _parent_exited(self) -> None:
        self._parent_lost = True
        log.warning("parent_lost")
        if self._handover:
            self._succession = asyncio.get_running_loop().create_task(self._wait_for_successor())
        else:
            self._end(min(self._settings.shutdown_grace_s, _ORPHANS_GRACE_S))

    async def _wait_for_successor(self) -> None:
        found = await successor_serves(self._settings.data_dir, self._handover, within_s=_HANDOVER_S)
        log.info("parent_replaced" if found else "parent_not_replaced")
        self._end(min(self._settings.shutdown_grace_s, _ORPHANS_GRACE_S))

    def _end(self, grace_s: float) -> None:
        if not self._grace.done():
            self._grace.set_result(grace_s)


def freeze_heap() -> None:
    """Move all objects built so far out of the garbage collector's reach (gc.freeze), and collect less often.

    Modules and tables live as long as the process; scanning them again and again would pause all streams. Requests make
    few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _start_message(sock: socket.socket, reader: FrameReader[ParentMessage]) -> tuple[Start, list[int]] | None:
    """Wait for the parent's first message; None if the parent has exited. Raises ChannelError."""
    more = True
    while (first := reader.take()) is None and more:
        more = receive(sock, reader)
    if first is None:
        reader.end()
        return None
    message, descriptors = first
    if not isinstance(message, Start):
        raise UnknownMessageError(f"the first message is {message.kind!r}; allowed: 'start'")
    return message, descriptors


async def _serve(start: Start, descriptors: list[int], sock: socket.socket, reader: FrameReader[ParentMessage]) -> None:
    await Worker(start, descriptors, sock, reader).run()


def main() -> None:
    """Run one worker. SIGINT is ignored: the parent handles Ctrl-C, which reaches the whole process group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    reader = FrameReader(PARENT_MESSAGES)
    try:
        first = _start_message(sock, reader)
    except ChannelError as error:
        sys.exit(f"worker {sys.argv[2]} cannot start: {error}")
    if first is None:
        return
    start, descriptors = first
    configure_logging("appproxy", level=start.settings.log_level, log_format=start.settings.log_format)
    structlog.contextvars.bind_contextvars(worker=start.number)
    uvloop.run(_serve(start, descriptors, sock, reader))
