"""Listening sockets: the shared port, and services' own ports from the route tables.

One socket per worker and port (SO_REUSEPORT), held open here as long as the port is wanted: when a worker exits, no
connection in its accept queue is lost, since its successor gets the same socket. Inherited sockets are used before new
ones are opened (socket_activation.py).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from headrace.appproxy.control.socket_activation import OWN, SHARED, InheritedSockets, name_of
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.settings import Settings
from headrace.common.contracts.messages.own_ports import MAX_WHY, OwnPortReply, OwnPortRequest
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
_BACKLOG = 4096
_INSTALLATION = "something else of the installation listens there"
Listen = Callable[[int | None, list[socket.socket]], Awaitable[None]]
Unlisten = Callable[[int], Awaitable[None]]


class Listeners:
    """Listener manager: opens the shared port and services' own ports, and hands their sockets to the workers.

    It calls `listen(own port or None, one socket per worker)` and `unlisten(own port)`.
    """

    name = "listeners"

    def __init__(
        self,
        settings: Settings,
        tables: RouteTables,
        *,
        workers: int,
        listen: Listen,
        unlisten: Unlisten,
        inherited: InheritedSockets | None = None,
    ) -> None:
        self._inherited = inherited or InheritedSockets()
        self._settings = settings
        self._tables = tables
        self._workers = workers
        self._listen = listen
        self._unlisten = unlisten
        self._own: dict[int, list[socket.socket]] = {}
        self._shared: list[socket.socket] = []
        self._loop = Loop("listeners", self._one_pass, every=timedelta(seconds=5))
        self.failed: dict[int, str] = {}
        """Own ports that could not be opened, and why; retried on every pass."""
        self.before_serving: Callable[[], Awaitable[None]] | None = None
        """Awaited at the start before connections are accepted; earlier ones wait in the sockets' backlog."""
        self.on_serving: Callable[[], None] = lambda: None
        """Called once, when all ports wanted at the start accept connections."""
        self.started = asyncio.Event()
        self.port = 0
        """The shared port, once `started` is set."""

    @property
    def open_ports(self) -> frozenset[int]:
        """Own ports on which it listens."""
        return frozenset(self._own)

    async def answer(self, request: OwnPortRequest) -> OwnPortReply:
        """Return whether the port can be a service's own here."""
        why = self._why_not(request.port)
        return OwnPortReply(why_not=why[:MAX_WHY] if why else None)

    def poke(self) -> None:
        """Ask for a reconciliation of own ports with the tables soon."""
        self._loop.poke()

    def stop(self) -> None:
        """End run()."""
        self._loop.stop()

    async def run(self) -> None:
        """Open the ports and reconcile own ports until stop(). Raises OSError when the shared port cannot be opened."""
        try:
            self._shared = self._bind(self._settings.listen_port, SHARED)
        except OSError as error:
            where = f"port {self._settings.listen_port} on {self._settings.listen_host}"
            raise OSError(error.errno, f"{where}: {error.strerror}") from error
        self.port = int(self._shared[0].getsockname()[1])
        try:
            if self.before_serving is not None:
                await self.before_serving()
            await self._listen(None, self._shared)
            log.info("server_started", server="shared", host=self._settings.listen_host, port=self.port)
            self.started.set()
            await self._one_pass()
            self._inherited.close_unclaimed()
            self.on_serving()
            await self._loop.run()
        finally:
            for sockets in (self._shared, *self._own.values()):
                for sock in sockets:
                    sock.close()

    def _bind(self, port: int, kind: str) -> list[socket.socket]:
        """Return one listening socket per worker: inherited ones first, then new ones.

        Workers share the inherited sockets where these are too few and have no SO_REUSEPORT, as those of a systemd
        socket unit.
        """
        number = max(self._workers, 1)
        sockets = self._inherited.claim(port, number)
        found = len(sockets)
        shared = found > 0 and not sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        try:
            while len(sockets) < number:
                if shared:
                    sockets.append(sockets[len(sockets) % found].dup())
                    continue
                sockets.append(self._open_socket(port))
                port = int(sockets[0].getsockname()[1])
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        if not shared:
            for at in range(found, number):
                self._inherited.store(name_of(kind, port, at), sockets[at])
        return sockets

    def _open_socket(self, port: int) -> socket.socket:
        sock = self._bound(port, shared=self._workers > 1)
        try:
            sock.listen(_BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    def _bound(self, port: int, *, shared: bool = False) -> socket.socket:
        """Return a socket bound to the port, `shared` with others of this user that ask for it so. Raises OSError."""
        host = self._settings.listen_host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setblocking(False)
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        return sock

    @property
    def _installation_ports(self) -> set[int]:
        return {*self._settings.reserved_ports, self._settings.admin_port, self.port}

    def _why_not(self, port: int) -> str | None:
        """Return why the port cannot be opened; None if it can, or is open. Tries it, and leaves no socket behind."""
        if port in self._installation_ports:
            return _INSTALLATION
        if port in self._own or any(one.port == port for one in self._inherited.unclaimed):
            return None
        try:
            with self._bound(port):
                return None
        except OSError as error:
            return error.strerror or str(error)

    def _own_sockets(self, port: int) -> tuple[str, list[socket.socket]]:
        """Return the listening sockets of a service's own port, or the reason why it cannot be opened."""
        if port in self._installation_ports:
            return _INSTALLATION, []
        try:
            return "", self._bind(port, OWN)
        except OSError as error:
            return error.strerror or str(error), []

    async def _one_pass(self) -> None:
        """Reconcile the open own ports with those in the tables."""
        wanted = self._tables.ports()
        for port in self._own.keys() - wanted:
            sockets = self._own.pop(port)
            await self._unlisten(port)
            for at, sock in enumerate(sockets):
                sock.close()
                self._inherited.remove(name_of(OWN, port, at))
            log.info("own_port_closed", port=port)
        for port in self.failed.keys() - wanted:
            del self.failed[port]
        for port in sorted(wanted - self._own.keys()):
            why, sockets = self._own_sockets(port)
            if why:
                if self.failed.get(port) != why:
                    log.warning("own_port_failed", port=port, why=why)
                self.failed[port] = why
                continue
            self.failed.pop(port, None)
            self._own[port] = sockets
            await self._listen(port, sockets)
            log.info("own_port_opened", port=port)
