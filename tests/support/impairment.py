"""Loss, delay and cuts in one direction on a host's link, by a relay of frames in this process.

`tc netem` does the same, where the kernel has it. Here the switch's end of the link leaves the bridge, and its frames go to
the bridge and back through packet sockets on the running event loop. Offloads stay on: each frame comes with the virtio
header that says which checksum and segmentation it still needs.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.support.network import Host

_SOL_PACKET: Final = 263
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33
_MAX_FRAME: Final = 70_000
_BUFFER: Final = 8 << 20
_AT_ONCE: Final = 64
"""Frames that are read before others of the event loop have their turn."""


@dataclass(frozen=True)
class Quality:
    """What happens to the frames of one direction: the share that is lost, and how late the others are."""

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """Most that is added to the delay; frames keep their order."""


GOOD: Final = Quality()
SILENT: Final = Quality(loss=1.0)


@contextmanager
def impaired(host: Host, chance: Random, *, to_host: Quality = GOOD, from_host: Quality = GOOD) -> Iterator[None]:
    """Impair the host's link inside the context. Needs a running event loop."""
    near, far = f"near-{host.port}", f"far-{host.port}"
    switch = host.switch
    switch.ip("link", "add", near, "type", "veth", "peer", "name", far)
    with ExitStack() as stack:
        stack.callback(switch.ip, "link", "set", host.port, "master", "bridge")
        stack.callback(switch.ip, "link", "delete", near)
        switch.ip("link", "set", host.port, "nomaster")
        switch.ip("link", "set", near, "up")
        switch.ip("link", "set", far, "master", "bridge", "up")
        with switch.entered():
            outside, inside = (stack.enter_context(_frames_of(name)) for name in (near, host.port))
        for source, sink, quality in ((outside, inside, to_host), (inside, outside, from_host)):
            stack.callback(_Relay(source, sink, quality, chance).stop)
        yield


def _frames_of(interface: str) -> socket.socket:
    """Return a socket for the frames that arrive at the interface of this thread's namespace."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    made.setblocking(False)
    made.bind((interface, _ETH_P_ALL))
    return made


class _Relay:
    """Frames from one socket to the other."""

    def __init__(self, source: socket.socket, sink: socket.socket, quality: Quality, chance: Random) -> None:
        self._source, self._sink, self._quality, self._chance = source, sink, quality, chance
        self._loop = asyncio.get_running_loop()
        self._late: deque[tuple[float, bytes]] = deque()
        """Frames that wait, and until when; in the order in which they came."""
        self._loop.add_reader(source, self._read)

    def stop(self) -> None:
        """Relay nothing any more; what waits is lost."""
        self._loop.remove_reader(self._source)
        self._late.clear()

    def _read(self) -> None:
        quality = self._quality
        for _ in range(_AT_ONCE):
            try:
                frame = self._source.recv(_MAX_FRAME)
            except OSError:  # nothing more, or the interface is down
                return
            if self._chance.random() < quality.loss:
                continue
            late_s = quality.delay_s + quality.jitter_s * self._chance.random()
            if late_s == 0.0:
                self._send(frame)
            else:
                due_s = self._loop.time() + late_s
                if self._late:
                    due_s = max(due_s, self._late[-1][0])
                else:
                    self._loop.call_at(due_s, self._send_due)
                self._late.append((due_s, frame))

    def _send_due(self) -> None:
        now_s = self._loop.time()
        while self._late and self._late[0][0] <= now_s:
            self._send(self._late.popleft()[1])
        if self._late:
            self._loop.call_at(self._late[0][0], self._send_due)

    def _send(self, frame: bytes) -> None:
        with suppress(OSError):  # the buffer is full, or the link was mended meanwhile: the frame is lost
            self._sink.send(frame)
