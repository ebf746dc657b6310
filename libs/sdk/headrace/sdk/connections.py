"""HTTP/1.1 connection pool, on the standard library's client.

A larger HTTP library takes as long to load as everything else that a command does.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from threading import BoundedSemaphore, Lock
from typing import Final
from urllib.parse import urlsplit

MAX_CONNECTIONS: Final = 100
"""Open connections of one pool; a request beyond them waits for one, as long as for an answer."""
KEPT_S: Final = 5.0
"""How long an idle connection is kept for the next request."""
_BLOCK_BYTES: Final = 65_536
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, number, value)
        for name, value in {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 4}.items()
        if (number := getattr(socket, name, None)) is not None
    ),
]
"""TCP keepalive: detects that the server's machine is gone after about 70 s, while following a log."""


class ConnectFailedError(Exception):
    """No connection came about: nothing was sent. `untrusted`: the server's certificate was not accepted; `no_tls`: it does not speak TLS."""

    def __init__(self, text: str, *, untrusted: bool = False, no_tls: bool = False) -> None:
        super().__init__(text)
        self.untrusted, self.no_tls = untrusted, no_tls


class BrokenError(Exception):
    """The connection broke, or what came is no HTTP."""


class SilentError(Exception):
    """The server was silent, or took nothing, for longer than the timeout."""


class Response:
    """Response whose body is read by `content`, or block by block; `close` it in any case."""

    def __init__(self, connection: Connection, raw: http.client.HTTPResponse, method: str, path: str) -> None:
        self._connection, self._raw = connection, raw
        self.method, self.path = method, path
        self.status_code = raw.status
        self.reason_phrase = raw.reason
        self.headers = raw.headers
        self._left = raw.length
        """Bytes of the body that have not come yet; None if only its end tells."""
        self._content: bytes | None = None

    @property
    def is_success(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_error(self) -> bool:
        """True for 4xx and 5xx."""
        return self.status_code >= 400

    @property
    def content(self) -> bytes:
        """Whole body. Raises BrokenError, SilentError."""
        if self._content is None:
            self._content = b"".join(self.iter_bytes())
        return self._content

    def iter_bytes(self, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the body as it arrives, at most `block_bytes` at once. Raises BrokenError, SilentError."""
        ends = self._raw.chunked  # True once an end of the body would be one
        try:
            while self._left != 0:
                block = self._raw.read1(block_bytes if self._left is None else min(block_bytes, self._left))
                if self._left is not None:
                    self._left -= len(block)
                if block:
                    ends = True
                    yield block
                elif ends and self._left is None and not self._connection.closed:
                    break  # without a length and with nothing in it, it was cut off in its head
                else:
                    raise BrokenError("the connection was closed in the middle of the answer")
        except TimeoutError:
            raise SilentError("timed out") from None
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # of the last two: the connection was closed by another thread
            raise BrokenError(_words(error)) from error
        self._left = 0

    def close(self) -> None:
        """Give the connection back, for the next request if the whole body was read. Safe to repeat."""
        with suppress(OSError, ValueError):
            self._raw.close()
        self._connection.done(reusable=self._left == 0 and not self._raw.will_close)


class _Source:
    """Content that is made while it is sent; tells its own errors from the connection's."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self.failure: OSError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._blocks
        except OSError as error:
            self.failure = error
            raise BrokenPipeError from error


class Connection:
    """One connection, with at most one request at a time. Made by the pool."""

    def __init__(self, pool: Pool, raw: http.client.HTTPConnection) -> None:
        """Connect. Raises OSError."""
        self._pool, self._raw = pool, raw
        self._raw.connect()
        self._socket: socket.socket = self._raw.sock
        for option in _KEEPALIVE:
            self._socket.setsockopt(*option)
        self.closed = False
        self.in_use = True
        self._idle_since = 0.0

    def send(
        self,
        method: str,
        target: str,
        *,
        content: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> Response:
        """Send a request and return the response's head. Raises BrokenError, SilentError, and what `content` raises."""
        source = _Source(content) if content is not None and not isinstance(content, bytes) else None
        whole = True
        try:
            self._socket.settimeout(timeout_s)
            try:
                self._raw.request(method, target, body=source or content, headers=dict(headers))
            except TimeoutError:
                raise
            except OSError:
                whole = False
            if source is None or source.failure is None:
                # also to a request that was not taken whole: the server may have refused it before
                raw = self._raw.getresponse()
        except TimeoutError:
            raise SilentError("timed out") from None
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(_words(error)) from error
        if source is not None and source.failure is not None:
            raise source.failure
        raw.will_close = raw.will_close or not whole
        return Response(self, raw, method, target.partition("?")[0])

    def done(self, *, reusable: bool) -> None:
        """End the use by a request. Safe to repeat."""
        if self.in_use:
            self.in_use = False
            self._idle_since = time.monotonic()
            self._pool.returned(self, reusable=reusable and not self.closed)

    @property
    def fresh(self) -> bool:
        """True if the server has not closed the idle connection, as far as one knows."""
        if self.closed or time.monotonic() - self._idle_since > KEPT_S:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it; a thread that waits for an answer gets BrokenError. Safe to repeat."""
        self.closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes who reads from it
        self._raw.close()


class Pool:
    """Connections to one server. Thread-safe."""

    def __init__(self, url: str, *, connect_timeout_s: float, verify: bool | str) -> None:
        """`verify`: False to accept any certificate, or the path of the CA file. Raises ValueError for that."""
        parts = urlsplit(url)
        self._tls, self._host, self._port = parts.scheme == "https", parts.hostname or "", parts.port
        self._prefix = parts.path.rstrip("/")
        self._connect_timeout_s = connect_timeout_s
        # not without TLS: reading the system's authorities takes as long as a command
        self._context = _trusted(verify) if self._tls else None
        self._lock = Lock()
        self._room = BoundedSemaphore(MAX_CONNECTIONS)
        self._open: set[Connection] = set()
        self.idle: list[Connection] = []
        self._closed = False

    def send(
        self,
        method: str,
        target: str,
        *,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> Response:
        """Send a request and return the response, whose body is unread.

        Raises ConnectFailedError, BrokenError, SilentError, and what `content` raises. `timeout_s`: longest silence.
        """
        if not self._room.acquire(timeout=timeout_s):
            raise ConnectFailedError(f"all {MAX_CONNECTIONS} connections are in use")
        try:
            connection = self._kept() or self._connected()
        except BaseException:
            self._room.release()
            raise
        try:
            return connection.send(method, self._prefix + target, content=content, headers=headers, timeout_s=timeout_s)
        except BaseException:
            connection.done(reusable=False)
            raise

    def close(self) -> None:
        """Close all connections, also those in use."""
        with self._lock:
            self._closed = True
            connections = tuple(self._open)
            self.idle.clear()
        for connection in connections:
            connection.close()

    def returned(self, connection: Connection, *, reusable: bool) -> None:
        """Keep a connection for the next request, or close it."""
        with self._lock:
            kept = reusable and not self._closed
            if kept:
                self.idle.append(connection)
            else:
                self._open.discard(connection)
        if not kept:
            connection.close()
        self._room.release()

    def _kept(self) -> Connection | None:
        while True:
            with self._lock:
                if not self.idle:
                    return None
                connection = self.idle.pop()
            if connection.fresh:
                connection.in_use = True
                return connection
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _connected(self) -> Connection:
        try:
            connection = Connection(self, self._raw())
        except OSError as error:
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            no_tls = isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER"
            raise ConnectFailedError(_words(error), untrusted=untrusted, no_tls=no_tls) from error
        with self._lock:
            if not self._closed:
                self._open.add(connection)
                return connection
        connection.close()
        raise ConnectFailedError("the client was closed")

    def _raw(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._connect_timeout_s)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._connect_timeout_s, context=self._context
        )


def _trusted(verify: bool | str) -> ssl.SSLContext:  # noqa: FBT001 - a setting
    try:
        made = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except ssl.SSLError:
        raise ValueError(f"the CA file {verify} holds no certificate; allowed: certificates in PEM") from None
    except OSError as error:
        raise ValueError(f"the CA file {verify} cannot be read: {error.strerror or error}") from None
    if verify is False:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
