"""Streaming callers that verify every byte, with a closed set of outcomes, some of which must never occur."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Literal

Outcome = Literal["done", "told", "aborted", "left", "refused", "lied", "garbled", "lost"]
"""done: all events, [DONE], and a clean end. told: an error event, then broken framing. aborted: broken framing alone.
left: the caller went in the middle. refused: a status other than 200. Never to be seen are: lied (a clean end without [DONE]),
garbled (events missing, doubled or out of order), lost (a connection that ended without an answer)."""
NEVER: tuple[Outcome, ...] = ("lied", "garbled", "lost")

_NUMBER = re.compile(rb"data: (\d+)\n\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_END = b"\r\n0\r\n\r\n"


class Caller:
    """Caller with one connection at a time, kept alive while possible. `authorization`: a token, if one is needed."""

    def __init__(self, port: int, prefix: str, tally: Tally, chance: Random, authorization: str = "") -> None:
        self._port = port
        self._prefix = prefix
        self._tally = tally
        self._chance = chance
        self._more = f"Authorization: Bearer {authorization}\r\n" if authorization else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, goes_on: Callable[[], bool], *, events: tuple[int, int], every_ms: int) -> None:
        """Request streams of `events` (min, max) while `goes_on`; about one in twenty is abandoned in the middle."""
        try:
            while goes_on():
                number = self._chance.randint(*events)
                leave_after = self._chance.randrange(1, number) if self._chance.random() < 0.05 and number > 1 else None
                await self.ask(number, every_ms, leave_after)
        finally:
            self.hang_up()

    async def ask(self, events: int, every_ms: int, leave_after: int | None = None) -> Outcome:
        """Request one stream; count and return its outcome."""
        self._tally.asked += 1
        outcome = await self._one(events, every_ms, leave_after)
        self._tally.outcomes[outcome] += 1
        return outcome

    async def _one(self, events: int, every_ms: int, leave_after: int | None) -> Outcome:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        method, body = self._chance.choice((("GET", ""), ("POST", "x" * 100)))
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        target = f"{self._prefix}/stream?events={events}&every_ms={every_ms}"
        writer.write(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{self._more}{length}\r\n{body}".encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hang_up()
            return "lost"
        status = int(head[9:12])
        if status != 200:
            return await self._refused(reader, head, status)
        return await self._read(reader, events, leave_after)

    async def _refused(self, reader: asyncio.StreamReader, head: bytes, status: int) -> Outcome:
        length = _LENGTH.search(head)
        assert length is not None, head
        try:
            await reader.readexactly(int(length[1]))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hang_up()
            return "lost"
        if _CLOSES.search(head):
            self.hang_up()
        self._tally.statuses[status] += 1
        return "refused"

    async def _read(self, reader: asyncio.StreamReader, events: int, leave_after: int | None) -> Outcome:
        came = b""
        while not came.endswith(_END):
            try:
                more = await reader.read(65_536)
            except ConnectionError:
                more = b""
            if not more:
                break
            came += more
            if leave_after is not None and came.count(b"\n\n") >= leave_after:
                self.hang_up()
                return "left"
        body, whole = content(came)
        numbers = [int(number) for number in _NUMBER.findall(body)]
        self._tally.events += len(numbers)
        if not whole:
            self.hang_up()
        if numbers != list(range(len(numbers))):
            return "garbled"
        if whole:
            return "done" if len(numbers) == events and body.endswith(b"data: [DONE]\n\n") else "lied"
        return "told" if b"\n\nevent: error\ndata: " in body else "aborted"

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Tally:
    """Outcomes of all callers."""

    def __init__(self) -> None:
        self.asked = 0
        self.events = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.statuses: Counter[int] = Counter()
        """Of the refused."""


def content(chunked: bytes) -> tuple[bytes, bool]:
    """Decode a chunked body as far as it was received; return it, and whether its framing ended properly."""
    pieces: list[bytes] = []
    at = 0
    while True:
        line = chunked.find(b"\r\n", at)
        if line < 0:
            return b"".join(pieces), False
        size = int(chunked[at:line], 16)
        if size == 0:
            return b"".join(pieces), chunked[line:] == b"\r\n\r\n"
        pieces.append(chunked[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
