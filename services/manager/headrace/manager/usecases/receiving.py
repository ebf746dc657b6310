"""Request body receiver: chunks are gathered into parts; the next part is read while one is written.

Each write takes a thread, so a part gathers chunks until it is worth one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final

from headrace.common.contracts.problems import InvalidRequest

PART_BYTES: Final = 1024 * 1024
"""Size of a part, give or take a chunk. Two parts are in memory: one being written, one being read."""
_HELD_S: Final = 0.2
"""Time for which an incomplete part waits for the rest of it."""


async def receive(
    body: AsyncIterator[bytes], take: Callable[[bytes], Awaitable[None]], *, idle_s: float, kept: str
) -> None:
    """Read `body`, and pass it to `take` in order, one part at a time.

    Raises what `take` raises, at once, and InvalidRequest when nothing arrived for `idle_s`; `kept` is the text of what
    happens to the bytes received so far. Received bytes are also passed on when the body breaks off or the request is
    cancelled. After the return `take` is not called any more.
    """
    receiver = _Receiver(body, take, idle_s, kept)
    try:
        while not receiver.ended:
            await receiver.step()
        await receiver.rest()
    except BaseException:
        await receiver.leave()
        raise


class _Receiver:
    def __init__(
        self, body: AsyncIterator[bytes], take: Callable[[bytes], Awaitable[None]], idle_s: float, kept: str
    ) -> None:
        self._body = body
        self._take = take
        self._idle_s = idle_s
        self._kept = kept
        self._held: list[bytes] = []
        self._size = 0
        self._held_since = 0.0
        self._reading: asyncio.Future[bytes | None] | None = None
        self._read_since = 0.0
        self._taking: asyncio.Future[None] | None = None
        self.ended = False

    async def step(self) -> None:
        """Wait for the next event. Raises what `take` and the body raise; InvalidRequest when nothing arrived in time."""
        if self._reading is None and self._size < PART_BYTES:
            self._reading = asyncio.ensure_future(self._next())
            self._read_since = time.monotonic()
        await asyncio.wait(
            {work for work in (self._reading, self._taking) if work is not None},
            timeout=self._until() - time.monotonic(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._taking is not None and self._taking.done():
            done, self._taking = self._taking, None
            await done
        if self._reading is not None and self._reading.done():
            self._came(self._reading)
        if (
            self._held
            and self._taking is None
            and (self._size >= PART_BYTES or time.monotonic() >= self._held_since + _HELD_S)
        ):
            # The part leaves what is held before the task runs, so that the next one is read meanwhile.
            self._taking = asyncio.ensure_future(self._taken(self._part()))
        if self._reading is not None and time.monotonic() >= self._read_since + self._idle_s:
            raise InvalidRequest(f"nothing arrived for {self._idle_s:g} s; {self._kept}")

    async def rest(self) -> None:
        """Pass on what is buffered, after the body's end."""
        if self._taking is not None:
            await self._taking
        if self._held:
            await self._taken(self._part())

    async def leave(self) -> None:
        """Stop reading; pass on what is buffered, unless `take` fails."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        with suppress(Exception):
            await self.rest()

    def _until(self) -> float:
        idle = self._read_since + self._idle_s if self._reading is not None else time.monotonic() + self._idle_s
        return min(idle, self._held_since + _HELD_S) if self._held and self._taking is None else idle

    def _came(self, reading: asyncio.Future[bytes | None]) -> None:
        self._reading = None
        chunk = reading.result()
        if chunk is None:
            self.ended = True
            return
        if not self._held:
            self._held_since = time.monotonic()
        self._held.append(chunk)
        self._size += len(chunk)

    async def _next(self) -> bytes | None:
        return await anext(self._body, None)

    def _part(self) -> bytes:
        part = b"".join(self._held)
        self._held, self._size = [], 0
        return part

    async def _taken(self, part: bytes) -> None:
        try:
            await self._take(part)
        except BaseException:
            self._held = []  # what follows on what was not taken is not taken
            raise
