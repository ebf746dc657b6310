"""One worker process: a data plane that its parent tells what to serve. `python -m headrace.appproxy.workers FD NUMBER`.

On SIGTERM it asks to be replaced, and goes on accepting until its successor is there; then it lets every connection end with the
answer in hand, for as long as the grace lasts. When its parent is gone (the channel ends), it ends soon too: nobody would tell it
of replicas that come and go. Where somebody keeps the listening sockets for the next app-proxy, it goes on until that one serves.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from contextlib import suppress

import structlog
import uvloop

from headrace.appproxy.file_limit import allowed
from headrace.appproxy.plane import DataPlane
from headrace.appproxy.plane_wiring import build_plane
from headrace.appproxy.settings import Settings
from headrace.appproxy.table import Tables
from headrace.appproxy.workers.board import Board, Place
from headrace.appproxy.workers.channel import Channel, FrameReader, Message, Order, receive
from headrace.appproxy.workers.handover import succeeded
from headrace.appproxy.workers.shares import settings_for, table_for
from headrace.appproxy.workers.waiting import Waiting
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.obs.logging import configure_logging

log = structlog.get_logger()
_TELL_EVERY_S = 0.25
"""More often than the parent sums up, so that its rates do not swing."""
_TELL_PAUSE_S = 0.05
_HANDOVER_S = 10.0
"""Longest wait for a successor before it stops accepting without one."""
_ORPHANS_GRACE_S = 5.0
_LAST_WORDS_S = 5.0
"""Longest that a parent may take to read what is told at the end."""
_COLLECT_AFTER = (20_000, 20, 50)


class Worker:
    """Obeys the parent's messages in their order, and tells it what it does. `came`: those that came before the event loop ran."""

    def __init__(self, came: list[Order], sock: socket.socket, reader: FrameReader) -> None:
        (start, fds), *orders = came
        self._workers: int = start["workers"]
        self._column: int = start["column"]
        self._handover: str = start["handover"]
        self._settings = settings_for(Settings(**start["settings"]), self._workers, descriptors=allowed())
        self._board = Board(fds[0], fds[1:], rows=start["rows"])
        self._places: dict[SessionId, Place] = {}
        self._of_service: dict[ServiceId, set[SessionId]] = {}
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        for order in orders:
            self._orders.put_nowait(order)
        self._channel = Channel(
            sock, reader=reader, heard=lambda *order: self._orders.put_nowait(order), ended=self._orphaned
        )
        self._plane: DataPlane = build_plane(self._settings, Tables(), notify=self._noticed, workers=self._workers)
        self._waiting = Waiting(self._plane.servings, self._places)
        self._succession: asyncio.Task[None] | None = None
        self._step = 0
        self._ready = False
        self._news = asyncio.Event()
        self._grace: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """Set once it is to end: how long open requests may take."""

    async def run(self) -> None:
        """Serve until told to end, or SIGTERM, or the parent's end. The plane is closed also where an order cannot be obeyed, which is
        raised: an event loop with connections to Redis left open may never end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_leave)
        bell = self._board.bell(self._column)
        loop.add_reader(bell, self._rung)
        await self._plane.start()
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._obey()), group.create_task(self._keep_telling())]
                try:
                    await self._plane.drain(await self._grace)
                finally:
                    self._waiting.end()
                    await self._plane.close()
                for task in background:
                    task.cancel()
        finally:
            self._tell()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._channel.flushed()
            loop.remove_reader(bell)
            self._channel.close()

    # --- being told

    async def _obey(self) -> None:
        while True:
            message, fds = await self._orders.get()
            await self._do(message, fds)
            self._step = message.get("step", self._step)
            self._news.set()

    async def _do(self, message: Message, fds: list[int]) -> None:
        match message["kind"]:
            case "table":
                self._apply(RouteTable.decode(message["table"].encode()), message["rows"])
            case "listen":
                await self._plane.listen(socket.socket(fileno=fds[0]), message["own_port"])
            case "unlisten":
                await self._plane.unlisten(message["own_port"])
            case "begin":
                settle_memory()
                self._ready = True
            case "drain":
                self._end(message["grace_s"])

    def _apply(self, table: RouteTable, rows: dict[str, int]) -> None:
        mine: dict[SessionId, Place] = {}
        for route in () if table.removed else table.routes:
            row = rows.get(str(route.session_id))
            if row is not None:
                mine[route.session_id] = self._places.get(route.session_id) or self._board.place(row, self._column)
        for gone in self._of_service.pop(table.service_id, set()) - mine.keys():
            self._places.pop(gone).claim(wanted=False)
        self._places.update(mine)
        if mine:
            self._of_service[table.service_id] = set(mine)
        self._plane.apply(table_for(table, self._workers), mine)

    # --- telling

    def _noticed(self) -> None:
        """Something happened that others wait for; comes from the middle of a request's work."""
        self._waiting.poke()
        self._news.set()

    def _rung(self) -> None:
        self._board.hush(self._column)
        self._waiting.poke()

    async def _keep_telling(self) -> None:
        while True:
            news = self._news.is_set()
            self._news.clear()
            self._tell(news=news)
            await asyncio.sleep(_TELL_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(_TELL_EVERY_S):
                    await self._news.wait()

    def _tell(self, *, news: bool = True) -> None:
        told = {"kind": "told", "step": self._step, "ready": self._ready, "news": news}
        self._channel.send(told | {"state": self._plane.state(), "stats": self._plane.parts.book.take()})

    # --- the end

    def _asked_to_leave(self) -> None:
        self._channel.send({"kind": "leaving"})
        asyncio.get_running_loop().call_later(_HANDOVER_S, self._end, self._settings.shutdown_grace_s)

    def _orphaned(self) -> None:
        if self._grace.done():
            return
        log.warning("parent_lost")
        if self._handover:
            self._succession = asyncio.get_running_loop().create_task(self._until_succeeded())
        else:
            self._end(min(self._settings.shutdown_grace_s, _ORPHANS_GRACE_S))

    async def _until_succeeded(self) -> None:
        found = await succeeded(self._settings.data_dir, self._handover, within_s=_HANDOVER_S)
        log.info("parent_succeeded" if found else "parent_not_succeeded")
        self._end(min(self._settings.shutdown_grace_s, _ORPHANS_GRACE_S))

    def _end(self, grace_s: float) -> None:
        if not self._grace.done():
            self._grace.set_result(grace_s)


def settle_memory() -> None:
    """Take what was built so far out of the collector's sight: modules and tables live as long as the process does, and looking at
    them again and again would pause all streams. Requests make few cycles, so that looking seldom is enough for the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _first_orders(sock: socket.socket, reader: FrameReader) -> list[Order]:
    """Wait for the parent's first messages; none if the parent is gone."""
    came: list[Order] | None = []
    while came == []:
        came = receive(sock, reader)
    return came or []


async def _serve(came: list[Order], sock: socket.socket, reader: FrameReader) -> None:
    await Worker(came, sock, reader).run()


def main() -> None:
    """Run one worker. The parent minds Ctrl-C, which reaches the whole process group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    reader = FrameReader()
    came = _first_orders(sock, reader)
    if not came:
        return
    start, _ = came[0]
    configure_logging("appproxy", level=start["settings"]["log_level"], log_format=start["settings"]["log_format"])
    structlog.contextvars.bind_contextvars(worker=start["number"])
    uvloop.run(_serve(came, sock, reader))
