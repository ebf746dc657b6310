"""Channel: framed messages with file descriptors over a Unix socket pair, between the parent and a worker.

A frame is four bytes of length, one byte with the number of its descriptors, and a message (messages.py). A descriptor
arrives no later than the first byte of its frame.
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

from headrace.appproxy.ipc.codec import MAX_DESCRIPTORS, ChannelError, Codec, EncodedMessage, M

log = structlog.get_logger()
MAX_BYTES: Final = 64 * 1024 * 1024
"""Size limit of one message."""
MAX_WAITING = 4 * MAX_BYTES
"""Bytes buffered for the other side; beyond, the channel is closed."""
_HEAD = struct.Struct("!IB")
_READ = 256 * 1024


class FrameError(ChannelError):
    """Invalid frame: too large, or without its descriptors."""


class TruncatedFrameError(FrameError):
    """Frame cut off by the end of the stream."""


class Received(NamedTuple, Generic[M]):
    """Received message with its descriptors, which the receiver owns."""

    message: M
    descriptors: list[int]


def frame(content: EncodedMessage, descriptors: int = 0) -> bytes:
    """Return the frame of an encoded message with `descriptors` descriptors. Raises FrameError when it is too large."""
    if len(content) > MAX_BYTES or descriptors > MAX_DESCRIPTORS:
        raise FrameError(_too_large(len(content), descriptors))
    return _HEAD.pack(len(content), descriptors) + content


def _too_large(size: int, descriptors: int) -> str:
    return f"a message of {size} bytes with {descriptors} descriptors; allowed: {MAX_BYTES} with {MAX_DESCRIPTORS}"


class FrameReader(Generic[M]):
    """Incremental frame parser and message decoder."""

    def __init__(self, codec: Codec[M]) -> None:
        self._codec = codec
        self._data = bytearray()
        self._descriptors: deque[int] = deque()

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Add received bytes and descriptors."""
        self._data += data
        self._descriptors.extend(descriptors)

    def take(self) -> Received[M] | None:
        """Return the next complete message, or None.

        Raises ChannelError at an invalid frame, after all messages before it were taken.
        """
        if len(self._data) < _HEAD.size:
            return None
        size, number = _HEAD.unpack_from(self._data)
        if size > MAX_BYTES:
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
        """Check that nothing is left at the end of the stream. Raises TruncatedFrameError if a frame is incomplete."""
        if self._data:
            raise TruncatedFrameError(f"it ends after {len(self._data)} bytes of a message")

    def close(self) -> None:
        """Close the descriptors whose frame never arrived."""
        while self._descriptors:
            os.close(self._descriptors.popleft())


def receive(sock: socket.socket, reader: FrameReader[M]) -> bool:
    """Read once from the socket into the reader; return False at end of stream. Raises BlockingIOError and
    ChannelError.
    """
    descriptors = array("i")
    try:  # socket.recv_fds ignores its flags argument
        data, ancillary, flags, _ = sock.recvmsg(
            _READ, socket.CMSG_SPACE(MAX_DESCRIPTORS * descriptors.itemsize), socket.MSG_CMSG_CLOEXEC
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
    """One end of a message channel, on the running event loop. Takes over the socket.

    `ended` is called once: with None at the end of the stream, else with the error in what the other side sent, which
    is logged.
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
        self._loop.call_soon(self._readable)  # the reader may hold complete messages

    def send(self, content: EncodedMessage, descriptors: Sequence[int] = ()) -> None:
        """Send a message, or buffer it until there is room.

        The caller may close its descriptors afterwards. Ignored once the channel has ended.
        """
        if not self._open:
            return
        data = frame(content, len(descriptors))
        self._out.append((memoryview(data), [os.dup(fd) for fd in descriptors]))
        self._waiting += len(data)
        if self._waiting > MAX_WAITING:
            log.error("channel_failed", why=f"{self._waiting} bytes wait for the other side; allowed: {MAX_WAITING}")
            self.close()
        elif len(self._out) == 1:
            self._writable()

    async def flushed(self) -> None:
        """Wait until all messages were written, or the channel has ended."""
        await self._empty.wait()

    def close(self) -> None:
        """Close the channel and drop buffered messages. Idempotent."""
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
            log.error("channel_failed", why=str(error))  # noqa: TRY400 - caused by the other side; a traceback says nothing
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
