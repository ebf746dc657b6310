"""Framed JSON messages with file descriptors over a Unix socket pair, between the parent and a worker.

A frame is four bytes of length, one byte that says how many descriptors belong to it, and the JSON of one object, whose `kind` says
what it is. A descriptor comes no later than the first byte of its frame.

Parent to worker: `start` (settings, number, workers, column, rows, handover; the shared memory's descriptors), then all and what changes, each
with its `step`: `table` (table, rows), `listen` (own_port; the socket), `unlisten` (own_port), `begin`; at last `drain` (grace_s).
Worker to parent: `told` (step, news, state, stats), `leaving`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Message = dict[str, Any]
ReceivedMessage = tuple[Message, list[int]]
"""A message with its descriptors."""
OnMessage = Callable[[Message, list[int]], None]
MOST_BYTES = 64 * 1024 * 1024
"""Of one frame."""
_MOST_WAITING = 4 * MOST_BYTES
"""Bytes that may wait for the other side: one that takes nothing any more is given up."""
_HEAD = struct.Struct("!IB")
_READ = 256 * 1024
_MOST_FDS = 250
"""SCM_MAX_FD is 253 (Linux, net/scm.h)."""


class ChannelError(Exception):
    """What came is no frame, or too large, or lost its descriptors."""


def frame(message: Message, fds: int = 0) -> bytes:
    """Return the bytes of a message that `fds` descriptors go with. Raises ChannelError when it is too large."""
    content = json.dumps(message, separators=(",", ":")).encode()
    if len(content) > MOST_BYTES or fds > _MOST_FDS:
        raise ChannelError(f"a frame of {len(content)} bytes with {fds} descriptors")
    return _HEAD.pack(len(content), fds) + content


class FrameReader:
    """Puts frames together, however they were cut."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._fds: deque[int] = deque()

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> list[ReceivedMessage]:
        """Return the messages that are whole now, with their descriptors, in order. Raises ChannelError."""
        self._data += data
        self._fds.extend(fds)
        found: list[ReceivedMessage] = []
        at = 0
        while len(self._data) - at >= _HEAD.size:
            size, number = _HEAD.unpack_from(self._data, at)
            if size > MOST_BYTES or number > len(self._fds):
                raise ChannelError(f"a frame of {size} bytes with {number} of {len(self._fds)} descriptors")
            end = at + _HEAD.size + size
            if len(self._data) < end:
                break
            try:
                message = json.loads(self._data[at + _HEAD.size : end])
            except ValueError:
                raise ChannelError("a frame that is not JSON") from None
            found.append((message, [self._fds.popleft() for _ in range(number)]))
            at = end
        del self._data[:at]
        return found

    def close(self) -> None:
        """Close the descriptors that came without their frame."""
        while self._fds:
            os.close(self._fds.popleft())


def receive(sock: socket.socket, reader: FrameReader) -> list[ReceivedMessage] | None:
    """Read once, and return the messages that are whole now; None at the end. Raises BlockingIOError and ChannelError."""
    fds = array("i")
    try:  # socket.recv_fds forgets the flags that it is given
        data, ancillary, flags, _ = sock.recvmsg(
            _READ, socket.CMSG_SPACE(_MOST_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
        )
    except ConnectionError:
        return None
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if flags & socket.MSG_CTRUNC:
        raise ChannelError("descriptors were lost: too many are open")
    return reader.feed(data, fds) if data else None


class Channel:
    """One end, on the running event loop. Takes the socket over; `ended` is called once, when the other side is gone or not to be had."""

    def __init__(
        self, sock: socket.socket, *, heard: OnMessage, ended: Callable[[], None], reader: FrameReader | None = None
    ) -> None:
        self._sock = sock
        self._heard = heard
        self._ended = ended
        self._reader = reader or FrameReader()
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._waiting = 0
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send, or keep until there is room. Descriptors may be closed afterwards. Nothing happens once it has ended."""
        if not self._open:
            return
        data = frame(message, len(fds))
        self._out.append((memoryview(data), [os.dup(fd) for fd in fds]))
        self._waiting += len(data)
        if self._waiting > _MOST_WAITING:
            self.close()
        elif len(self._out) == 1:
            self._writable()

    async def flushed(self) -> None:
        """Wait until everything was taken, or the channel has ended."""
        await self._empty.wait()

    def close(self) -> None:
        """End it; what waits is dropped. Safe to repeat."""
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
        self._loop.call_soon(self._ended)

    def _readable(self) -> None:
        try:
            messages = receive(self._sock, self._reader)
        except BlockingIOError:
            return
        except ChannelError:
            messages = None
        if messages is None:
            self.close()
            return
        for message, fds in messages:
            self._heard(message, fds)

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
