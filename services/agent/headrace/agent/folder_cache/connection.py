"""HTTP connection to a manager on a blocking socket, for threads.

OpenSSL decrypts in the thread, beside the event loop and beside the other connections, into the buffer that is written to the
disk; on the event loop every byte would be copied three times more.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final, TypeVar
from urllib.parse import urlsplit

from headrace.agent.folder_cache.errors import AccessRefused, FetchFailed

T = TypeVar("T")
CONNECT_S: Final = 5.0
READ_S: Final = 30.0
"""Longest time without a byte."""
_SHOWN: Final = 200


class Body:
    """Body of an answer, while it is received. All functions block, and raise FetchFailed."""

    def __init__(self, response: HTTPResponse, manager: str) -> None:
        self._response = response
        self._manager = manager

    def fill(self, view: memoryview) -> None:
        """Fill `view` with the next bytes; FetchFailed if there are fewer."""
        while view:
            received = self._read(lambda: self._response.readinto(view))  # noqa: B023 - called at once
            if not received:
                raise FetchFailed(f"{self._manager} sent less than was asked for")
            view = view[received:]

    def size(self) -> int:
        """Return how many bytes are still to come, as the manager said."""
        if self._response.length is None:
            raise FetchFailed(f"{self._manager} did not say how much it sends")
        return self._response.length

    def check_end(self) -> None:
        """Raise FetchFailed if there is more."""
        if self._read(lambda: self._response.read(1)):
            raise FetchFailed(f"{self._manager} sent more than was asked for")

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except (OSError, HTTPException, ValueError) as error:
            raise _failed(self._manager, error) from error


class Connection:
    """Connection to the manager at `url`, for one request at a time; opened by the first one. All but interrupt() block."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self.url = url
        parts = urlsplit(url)
        self._manager, self._prefix = parts.netloc, parts.path
        host = parts.hostname or ""
        self._http = (
            HTTPSConnection(host, parts.port, timeout=CONNECT_S, context=tls)
            if parts.scheme == "https"
            else HTTPConnection(host, parts.port, timeout=CONNECT_S)
        )
        self._interrupted = False

    def ask(self, method: str, path: str, token: str, body: bytes | None, take: Callable[[Body], T]) -> T:
        """Send a request, and return what `take` makes of the answer's body. Closed if it raises.

        Raises FetchFailed, AccessRefused, and what `take` raises.
        """
        try:
            received = Body(self._answer(method, self._prefix + path, token, body), self._manager)
            made = take(received)
            received.check_end()
        except BaseException:
            self.close()
            raise
        return made

    def interrupt(self) -> None:
        """Make the request that runs in another thread fail soon."""
        self._interrupted = True
        if (sock := self._http.sock) is not None:
            with suppress(OSError):  # it is closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # that of SSLSocket would take TLS from under the reader

    def close(self) -> None:
        """Close it."""
        self._http.close()

    def _answer(self, method: str, path: str, token: str, body: bytes | None) -> HTTPResponse:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            if self._http.sock is None:
                self._open()
            if self._interrupted:
                raise TimeoutError("interrupted")
            self._http.request(method, path, body, headers)
            response = self._http.getresponse()
        except (OSError, HTTPException, ValueError) as error:
            raise _failed(self._manager, error) from error
        if response.status != 200:
            raise self._refusal(response)
        return response

    def _open(self) -> None:
        self._http.connect()
        self._http.sock.settimeout(READ_S)

    def _refusal(self, response: HTTPResponse) -> FetchFailed:
        try:
            said = response.read(4096).decode(errors="replace")
        except (OSError, HTTPException, ValueError) as error:
            return _failed(self._manager, error)
        text = f"{self._manager} answered {response.status}: {_detail(said)}"
        return AccessRefused(text) if response.status == 401 else FetchFailed(text)


def _failed(manager: str, error: Exception) -> FetchFailed:
    """Return what became of a request."""
    return FetchFailed(f"{manager}: {str(error)[:_SHOWN] or type(error).__name__}")


def _detail(said: str) -> str:
    """Return what a problem document says; else the beginning of the answer, on one line."""
    try:
        document = json.loads(said)
    except ValueError:
        document = None
    text = document.get("detail") if isinstance(document, dict) else None
    return " ".join(str(text or said).split())[:_SHOWN]
