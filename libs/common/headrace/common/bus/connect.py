"""NATS connection: it reconnects for ever, and publishes fail fast while disconnected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import UnexpectedEOF

from headrace.common.bus.credentials import CredentialsError, check_credentials
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.runtime.cancelling import cancel, within
from headrace.common.runtime.nats_urls import encrypted, server_urls
from headrace.common.runtime.tls import TlsFileError, client_context

log = structlog.get_logger()
REFUSAL_KEPT_S = 60.0
_SERVER_SAYS = "nats: '"
"""Prefix of errors that the server sent before it closed the connection; its text is quoted."""
_BARE_ENDS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, TimeoutError, UnexpectedEOF)


@dataclass(frozen=True, slots=True)
class Login:
    """Addresses of the NATS servers, and credentials. Holds a secret."""

    url: str
    """One address, or several of one cluster, separated by commas (`nats_urls.server_urls`)."""
    user: str
    password: str = field(repr=False)
    name: str
    """Name of the connection in the server's monitoring."""
    credentials: Path | None = None
    """Signed identity and key (`.creds`), instead of the password; `user` is then only the name of its inbox."""
    ca_file: Path | None = None
    """Authorities of a `tls://` server's certificate; None: the system's."""

    @property
    def tls(self) -> bool:
        """True if the connection must be encrypted."""
        return encrypted(self.servers)

    @property
    def servers(self) -> tuple[str, ...]:
        """The address of each server. Raises ValueError if one is none."""
        return server_urls(self.url)


class TlsClient(Client):
    """Client that logs in by TLS only: nats-py would send its password in clear to who offers none."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise NatsError("nats: the server offers no TLS, and the address asks for it (tls://)")
        return super()._connect_command()


class ConnectError:
    """What the last attempt to connect came to.

    A refusal in the server's words (of a wrong password, say) is kept for REFUSAL_KEPT_S over attempts that merely end or take too
    long: the server closes a refused connection, and under load its reset may be all that is seen of the next ones.
    """

    def __init__(self) -> None:
        self.text = "no attempt has ended yet"
        self._refused_at: float | None = None

    def lost(self) -> None:
        """Begin anew: a connection stood meanwhile."""
        self.text, self._refused_at = "the connection was lost", None

    def note(self, error: Exception, now: float) -> None:
        """Take what an attempt came to at `now`, of a clock that only goes on."""
        refused = str(error).startswith(_SERVER_SAYS)
        kept = self._refused_at is not None and now - self._refused_at < REFUSAL_KEPT_S
        if kept and not refused and isinstance(error, _BARE_ENDS):
            return
        self.text = str(error) or type(error).__name__
        self._refused_at = now if refused else None


class Bus:
    """NATS connection, with the functions to call after a reconnect."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._on_reconnect: list[Callable[[], None]] = []
        self.ended = asyncio.Event()
        """Set once the connection ended for good: the server refused the identity. `open` begins anew."""
        self._away_since: float | None = time.monotonic()
        self._last_error = ConnectError()

    @property
    def client(self) -> Client:
        """The NATS client. Raises BusUnavailable before the first connection."""
        if self._client is None:
            raise BusUnavailable("not connected to NATS yet")
        return self._client

    @property
    def connected(self) -> bool:
        """True while the connection is up."""
        return self._client is not None and self._client.is_connected

    @property
    def opened(self) -> bool:
        """True if there is a connection that is up or reconnecting; False before the first one, and after a refused
        one.
        """
        return self._client is not None and not self._client.is_closed

    def unreachable(self) -> str | None:
        """Return for how long there has been no connection, and the last error; None while connected."""
        if self.connected:
            return None
        seconds = time.monotonic() - self._away_since if self._away_since is not None else 0.0
        return f"not connected to NATS for {seconds:.0f} s: {self._last_error.text}"

    def on_reconnect(self, call: Callable[[], None]) -> None:
        """Call `call` after each reconnect (not after the first connect). Registering the same one twice has no effect."""
        if call not in self._on_reconnect:
            self._on_reconnect.append(call)

    async def open(self, login: Login, *, timeout_s: float = 5.0) -> None:
        """Connect, and reconnect for ever afterwards. Raises BusUnavailable if the first connect does not succeed in
        time.
        """

        said: set[str] = set()

        async def reconnected() -> None:
            said.clear()
            self._came_back()

        async def disconnected() -> None:
            self._lost(client)

        async def closed() -> None:
            self._closed(client)

        async def failed(error: Exception) -> None:
            if client.is_connecting or client.is_reconnecting:
                _close_attempt(client)
            if self._away_since is not None:
                self._last_error.note(error, time.monotonic())
            text = str(error) or type(error).__name__
            if text not in said:  # the same for each of many attempts
                said.add(text)
                log.warning("bus_connection_failed", error=text)

        servers = self._servers(login)
        client = TlsClient() if login.tls else Client()
        try:
            connecting = client.connect(
                servers,
                **_proof(login),
                tls=client_context(login.ca_file) if login.tls else None,
                name=login.name,
                inbox_prefix=f"_INBOX_{login.user}".encode(),
                connect_timeout=5,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,  # type: ignore[arg-type] # seconds; a float works
                ping_interval=5,
                max_outstanding_pings=2,
                pending_size=16 * 1024 * 1024,
                reconnected_cb=reconnected,
                disconnected_cb=disconnected,
                closed_cb=closed,
                error_cb=failed,
            )
            await within(connecting, timeout_s)
        except (OSError, NatsError, TimeoutError, TlsFileError, CredentialsError) as error:
            with suppress(AssertionError):  # nats-py asserts on closing a client that never connected
                await client.close()
            timed_out = isinstance(error, TimeoutError)
            if not timed_out or not said:  # the error of its attempts says more than the time-out
                self._last_error.note(error, time.monotonic())
            raise BusUnavailable(f"cannot connect to NATS: {self._last_error.text}") from error
        self._use(client)

    def _use(self, client: Client) -> None:
        """Use a connection, the first one or one after the server ended the one before."""
        again, self._client, self._away_since = self._client is not None, client, None
        self.ended.clear()
        if client.is_closed:  # in between
            self.ended.set()
        if again:
            self._came_back()

    def _lost(self, client: Client) -> None:
        if self._client is not client:  # the end of an attempt that never connected
            return
        self._away_since = time.monotonic()
        self._last_error.lost()
        log.warning("bus_disconnected")

    def _closed(self, client: Client) -> None:
        if self._client is client:
            self.ended.set()

    def _came_back(self) -> None:
        self._away_since = None
        log.info("bus_reconnected")
        for call in self._on_reconnect:
            call()

    def _servers(self, login: Login) -> list[str]:
        """Return the servers' addresses. Raises BusUnavailable if one is none."""
        try:
            return list(login.servers)
        except ValueError as error:
            self._last_error.note(error, time.monotonic())
            raise BusUnavailable(f"cannot connect to NATS: {error}") from error

    async def flush(self, *, timeout_s: float = 5.0) -> None:
        """Return when the server has taken all that was sent before. Raises NatsError, TimeoutError, OSError.

        By two round trips: nats-py sends the PING of a flush ahead of what waits to be written, such as a subscription just made.
        """
        await within(self.client.flush(), timeout_s)
        await within(self.client.flush(), timeout_s)

    async def close(self) -> None:
        """Flush published messages and close. Safe if never opened."""
        if self._client is None or self._client.is_closed:
            return
        try:
            if self._client.is_connected:
                await self.flush(timeout_s=2)
        except (NatsError, TimeoutError, OSError):
            log.warning("bus_flush_failed")
        await self._client.close()
        await _end_reconnecting(self._client)


def _proof(login: Login) -> dict[str, Any]:
    """Return what the client logs in with. Raises CredentialsError: in a file without any, nats-py would read on
    for ever."""
    if login.credentials is None:
        return {"user": login.user, "password": login.password}
    check_credentials(login.credentials)
    return {"user_credentials": login.credentials}


async def _end_reconnecting(client: Client) -> None:
    """End a reconnect that goes on after close(), which cancels it once: that may be lost, and it tries for ever then."""
    reconnecting: asyncio.Task[None] | None = getattr(client, "_reconnection_task", None)
    if reconnecting is not None and not reconnecting.done():
        await cancel(reconnecting)


def _close_attempt(client: Client) -> None:
    """Close the connection of a failed connect, which nats-py leaves to the garbage collector."""
    transport = getattr(client, "_transport", None)
    if transport is not None:
        with suppress(AttributeError, RuntimeError, OSError):  # it has no connection yet
            transport.close()


@asynccontextmanager
async def open_bus(url: str, *, user: str, password: str, name: str) -> AsyncIterator[Bus]:
    """Yield a connected Bus, and close it on leaving. Raises BusUnavailable if NATS does not answer within 5 s."""
    bus = Bus()
    try:
        await bus.open(Login(url, user, password, name))
        yield bus
    finally:
        await bus.close()
