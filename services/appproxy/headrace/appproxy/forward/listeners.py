"""Where callers come in: the shared port, and the ports that services have for their own."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from aiohttp import web

from headrace.appproxy.forward.server import Forwarder
from headrace.appproxy.settings import Settings
from headrace.appproxy.table import Tables
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
_CUT_S = 2.0
_LINGER_S = 2.0


class _Door:
    """One listening port."""

    def __init__(self, forwarder: Forwarder, settings: Settings, *, own: int | None) -> None:
        self._settings = settings
        self._own = own
        self._forwarder = forwarder
        self._busy: set[object] = set()
        self._refusing = False
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,  # a caller who leaves cancels the work for it
            access_log=None,
            keepalive_timeout=settings.keepalive_timeout_s,
            lingering_time=_LINGER_S,
            max_line_size=settings.max_line_bytes,
            max_field_size=settings.max_header_bytes,
            max_headers=settings.max_headers,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_CUT_S)
        self._site: web.TCPSite | None = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy.add(request.protocol)
        try:
            response = await self._forwarder.handle(request, port=self._own)
        finally:
            self._busy.discard(request.protocol)
        if self._refusing:
            response.force_close()
        return response

    async def open(self) -> int:
        """Listen and return the real port. Raises OSError when the address is taken or not allowed."""
        await self._runner.setup()
        port = self._settings.listen_port if self._own is None else self._own
        self._site = web.TCPSite(self._runner, self._settings.listen_host, port, backlog=4096)
        try:
            await self._site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        return int(self._runner.addresses[0][1])

    async def refuse(self) -> None:
        """Stop accepting; idle connections end now, others after the request in hand."""
        self._refusing = True
        if self._site is not None:
            await self._site.stop()
            self._site = None
        for connection in self._server.connections:
            if connection not in self._busy:  # the library's own way would also drop what a busy one still receives
                connection.force_close()

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self._server.connections

    async def close(self) -> None:
        """End what is still open."""
        await self._runner.cleanup()


class Listeners:
    """Opens the shared port, keeps services' own ports in step with the tables, and ends everything in order."""

    name = "listeners"

    def __init__(self, forwarder: Forwarder, settings: Settings, tables: Tables) -> None:
        self._forwarder = forwarder
        self._settings = settings
        self._tables = tables
        self._stop = asyncio.Event()
        self._own: dict[int, _Door] = {}
        self._leaving: list[_Door] = []
        self._loop = Loop("own-ports", self._one_pass, every=timedelta(seconds=5))
        self.failed: dict[int, str] = {}
        """Own ports that could not be opened, and why; tried again on every pass."""
        self.started = asyncio.Event()
        self.port = 0
        """The shared port, once `started` is set."""

    def poke(self) -> None:
        """Look at the tables' ports soon."""
        self._loop.poke()

    def stop(self) -> None:
        """Refuse new requests from now on, and let run() end the open ones."""
        self._forwarder.stop()
        self._loop.stop()
        self._stop.set()

    async def run(self) -> None:
        """Serve until stop(), then give open requests their grace. Raises OSError when the shared port cannot be opened."""
        main = _Door(self._forwarder, self._settings, own=None)
        self.port = await main.open()
        log.info("listening", server="shared", host=self._settings.listen_host, port=self.port)
        self.started.set()
        doors = [main]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._loop.run())
                await self._stop.wait()
            doors += [*self._own.values(), *self._leaving]
            await self._drain(doors)
        finally:
            for door in doors:
                await door.close()

    async def _drain(self, doors: list[_Door]) -> None:
        for door in doors:
            await door.refuse()
        if not await self._quiet(self._settings.shutdown_grace_s):
            log.warning("requests_cut", open=self._forwarder.open_requests)
            self._forwarder.cut_all()
            await self._quiet(_CUT_S)

    async def _quiet(self, within_s: float) -> bool:
        """Return whether no request is open, waiting for that at most `within_s`."""
        until = asyncio.get_running_loop().time() + within_s
        while self._forwarder.open_requests:
            if asyncio.get_running_loop().time() >= until:
                return False
            await asyncio.sleep(0.02)
        return True

    async def _one_pass(self) -> None:
        """Bring the own ports that are open to those in the tables."""
        wanted = self._tables.ports()
        for port in self._own.keys() - wanted:
            door = self._own.pop(port)
            await door.refuse()
            self._leaving.append(door)
            log.info("own_port_closed", port=port)
        for port in self.failed.keys() - wanted:
            del self.failed[port]
        for port in sorted(wanted - self._own.keys()):
            await self._open_own(port)
        for door in [door for door in self._leaving if door.empty]:
            self._leaving.remove(door)
            await door.close()

    async def _open_own(self, port: int) -> None:
        door = _Door(self._forwarder, self._settings, own=port)
        try:
            await door.open()
        except OSError as error:
            why = error.strerror or str(error)
            if self.failed.get(port) != why:
                log.warning("own_port_failed", port=port, why=why)
            self.failed[port] = why
            return
        self.failed.pop(port, None)
        self._own[port] = door
        log.info("own_port_opened", port=port)
