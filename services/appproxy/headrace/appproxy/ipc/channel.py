"""Channel: framed messages with file descriptors over a Unix socket pair, between the parent and a worker.

A frame is four bytes of length, one byte that says how many descriptors belong to it, and a message (messages.py). A descriptor comes
no later than the first byte of its frame.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, NamedTuple

import structlog

from headrace.appproxy.ipc.codec import MOST_DESCRIPTORS, ChannelError, Codec, EncodedMessage, M

log = structlog.get_logger()
MOST_BYTES: Final = 64 * 1024 * 1024
"""Of one message."""
MOST_WAITING = 4 * MOST_BYTES
"""Bytes that may wait for the other side: one that takes nothing any more is given up."""
_HEAD = struct.Struct("!IB")
_READ = 256 * 1024


class FrameError(ChannelError):
    """Bytes that are no frame: too large a one, or one whose descriptors are missing."""


class TruncatedFrameError(FrameError):
    """A frame that the other side's end has cut off."""


class Received(NamedTuple, Generic[M]):
    """A message with its descriptors, which are the receiver's now."""

    message: M
    descriptors: list[int]


def frame(content: EncodedMessage, descriptors: int = 0) -> bytes:
    """Return the frame of a message that so many descriptors go with. Raises FrameError when it is too large."""
    if len(content) > MOST_BYTES or descriptors > MOST_DESCRIPTORS:
        raise FrameError(_too_large(len(content), descriptors))
    return _HEAD.pack(len(content), descriptors) + content


def _too_large(size: int, descriptors: int) -> str:
    return f"a message of {size} bytes with {descriptors} descriptors; allowed: {MOST_BYTES} with {MOST_DESCRIPTORS}"


class FrameReader(Generic[M]):
    """Puts frames together, however they were cut, and decodes their messages."""

    def __init__(self, codec: Codec[M]) -> None:
        self._codec = codec
        self._data = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Take in what came."""
        self._data += data
        self._descriptors.extend(descriptors)

    def take(self) -> Received[M] | None:
        """Return the next message that is whole, or None. Raises ChannelError, after all that came before what is wrong was taken."""
        if len(self._data) < _HEAD.size:
            return None
        size, number = _HEAD.unpack_from(self._data)
        if size > MOST_BYTES:
            raise FrameError(_too_large(size, number))
        if number > len(self._descriptors):
            raise FrameError(f"a message with {number} descriptors, of which {len(self._descriptors)} came")
        end = _HEAD.size + size
        if len(self._data) < end:
            return None
        message = self._codec.decode(self._data[_HEAD.size : end], number)
        del self._data[:end]
        return Received(message, [self._descriptors.popleft() for _ in range(number)])

    def end(self) -> None:
        """Nothing more will come, and all that is whole was taken. Raises TruncatedFrameError where bytes are left."""
        if self._data:
            raise TruncatedFrameError(f"it ends after {len(self._data)} bytes of a message")

    def close(self) -> None:
        """Close the descriptors that came without their frame."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


def receive(sock: socket.socket, reader: FrameReader[M]) -> bool:
    """Read once into the reader; return whether more may come. Raises BlockingIOError and ChannelError."""
    descriptors = array("i")
    try:  # socket.recv_fds forgets the flags that it is given
        data, ancillary, flags, _ = sock.recvmsg(
            _READ, socket.CMSG_SPACE(MOST_DESCRIPTORS * descriptors.itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionError:
        data, ancillary, flags = b"", [], 0
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    reader.feed(data, descriptors)
    if flags & socket.MSG_CTRUNC:
        raise FrameError("descriptors were lost: too many files are open")
    return bool(data)


class Channel(Generic[M]):
    """One end, on the running event loop. Takes the socket over. `ended` is called once: with None when the other side is gone or not
    to be had, else with what was wrong with what it sent, which is logged.
    """

    def __init__(
        self,
        sock: socket.socket,
        reader: FrameReader[M],
        *,
        heard: Callable[[Received[M]], None],
        ended: Callable[[ChannelError | None], None],
    ) -> None:
        self._sock = sock
        self._reader = reader
        self._heard = heard
        self._ended = ended
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._waiting = 0
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)
        self._loop.call_soon(self._readable)  # the reader may hold messages that are whole

    def send(self, content: EncodedMessage, descriptors: Sequence[int] = ()) -> None:
        """Send, or keep until there is room. Descriptors may be closed afterwards. Nothing happens once it has ended."""
        if not self._open:
            return
        data = frame(content, len(descriptors))
        self._out.append((memoryview(data), [os.dup(fd) for fd in descriptors]))
        self._waiting += len(data)
        if self._waiting > MOST_WAITING:
            log.error("channel_failed", why=f"{self._waiting} bytes wait for the other side; allowed: {MOST_WAITING}")
            self.close()
        elif len(self._out) == 1:
            self._writable()

    async def flushed(self) -> None:
        """Wait until everything was taken, or the channel has ended."""
        await self._empty.wait()

    def close(self) -> None:
        """End it; what waits is dropped. Safe to repeat."""
        self._end(None)

    def _end(self, error: ChannelError | None) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._reader.close()
        for _, fds in self._out:
            _close(fds)
        self._out.clear()
        self._empty.set()
        self._loop.call_soon(self._ended, error)

    def _readable(self) -> None:
        if not self._open:
            return
        try:
            more = True
            with suppress(BlockingIOError):
                more = receive(self._sock, self._reader)
            while self._open and (received := self._reader.take()) is not None:
                self._heard(received)
            if not more:
                self._reader.end()
                self.close()
        except ChannelError as error:
            log.error("channel_failed", why=str(error))  # noqa: TRY400 - the other side's doing, its place here says nothing
            self._end(error)

    def _writable(self) -> None:
        while self._out:
            data, fds = self._out[0]
            try:
                sent = socket.send_fds(self._sock, [data], fds) if fds else self._sock.send(data)
            except BlockingIOError:
                self._empty.clear()
                self._loop.add_writer(self._sock, self._writable)
                return
            except OSError:
                self.close()
                return
            _close(fds)
            self._waiting -= sent
            if sent == len(data):
                self._out.popleft()
            else:
                self._out[0] = data[sent:], []
        self._loop.remove_writer(self._sock)
        self._empty.set()


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
