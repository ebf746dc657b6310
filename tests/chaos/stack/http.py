"""HTTP/1.1 client without automatic retries, which reports everything that a caller can see."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_KEPT = 30
_EVENT_CODE = re.compile(rb'\n\nevent: error\ndata: .*"code": *"([^"]+)"')


@dataclass
class Answer:
    """Response; `whole`: its framing ended properly."""

    status: int
    body: bytes
    whole: bool


class Lost(Exception):  # noqa: N818 - it is an outcome
    """The connection ended without a response."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__("lost-kept" if kept else "lost")


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.used = False

    @property
    def usable(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()

    def end(self) -> None:
        self.writer.transport.abort()


class Client:
    """Connections to one address: idle ones are reused, the newest first."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[_Connection] = []

    async def ask(self, method: str, target: str, token: str, name: str, body: bytes = b"") -> Answer:
        """Send a request with this id and return the response. Raises Lost, and OSError when no connection is possible."""
        connection = await self._connection()
        again = False
        try:
            answer, again = await self._exchange(connection, _head(method, target, token, name, len(body)) + body)
        finally:
            if again and len(self._idle) < _KEPT:
                connection.used = True
                self._idle.append(connection)
            else:
                connection.end()
        return answer

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().end()

    async def _connection(self) -> _Connection:
        while self._idle:
            kept = self._idle.pop()
            if kept.usable:
                return kept
            kept.end()
        return _Connection(*await asyncio.open_connection(self._host, self._port, limit=1 << 20))

    async def _exchange(self, connection: _Connection, request: bytes) -> tuple[Answer, bool]:
        kept, reader = connection.used, connection.reader
        try:
            connection.writer.write(request)
            await connection.writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Lost(kept=kept) from error
        content, whole = await _content(reader, answer)
        return Answer(int(answer[9:12]), content, whole), whole and not _CLOSES.search(answer)


def _head(method: str, target: str, token: str, name: str, length: int) -> bytes:
    fields = f"Host: chaos\r\nAuthorization: Bearer {token}\r\nX-Request-Id: {name}\r\nContent-Length: {length}\r\n"
    return f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode()


async def _content(reader: asyncio.StreamReader, head: bytes) -> tuple[bytes, bool]:
    pieces: list[bytes] = []
    try:
        if _CHUNKED.search(head):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                pieces.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readexactly(2)
            return b"".join(pieces), True
        length = _LENGTH.search(head)
        if length is None:
            pieces.append(await reader.read())
            return b"".join(pieces), False
        return await reader.readexactly(int(length[1])), True
    except asyncio.IncompleteReadError as error:
        return b"".join([*pieces, error.partial]), False
    except (ConnectionError, ValueError):
        return b"".join(pieces), False


def refused(status: int, body: bytes) -> str:
    """Return `<status>:<reason>` of a response other than 200; the reason is `?` when it has none."""
    return f"{status}:{_reason(body)}"


def cut(body: bytes) -> str:
    """Return the outcome of an incomplete response: `cut:<code>` when it contains an error code, else `cut`."""
    told = _EVENT_CODE.search(b"\n\n" + body)
    return f"cut:{told[1].decode()}" if told else "cut"


def _reason(body: bytes) -> str:
    try:
        problem: Any = json.loads(body)
        if "error" in problem:
            return str(problem["error"]["code"])
        return str(problem.get("reason") or problem["type"].rpartition("/")[2].rpartition(":")[2])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "?"
