"""App-proxy data plane without sockets, fed with prepared requests, for `count`: `... FOLDER FILE REQUESTS`.

FOLDER holds the route table, FILE the requests. Prints microseconds of CPU per request.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from headrace.appproxy.control.tables_on_disk import FOLDER, TableStore
from headrace.appproxy.dataplane.request.context import Listener
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.upstream.connection import ReplicaConnection
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.settings import Settings
from headrace.appproxy.worker.worker import freeze_heap
from headrace.common.obs.logging import configure_logging

TOGETHER = 16
"""Requests that come in one turn of the event loop, as under load."""
WARM_UP = 4_096
"""Requests before the count: every caller has been seen once, and what is remembered of callers and lines is full."""
_BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"Water runs downhill."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,'
    b'"total_tokens":14}}'
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nServer: backend\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Wire(asyncio.Transport):
    """In-memory transport; written bytes are kept in `sent`."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the peer name of a local caller."""
        return ("127.0.0.1", 40_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore the limits: no write is ever buffered."""

    def is_closing(self) -> bool:
        """Return False: the transport is never closed."""
        return False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Keep the bytes."""
        self.sent.append(bytes(data))

    def close(self) -> None:
        """Raise: no side closes in this benchmark."""
        raise AssertionError(f"closed after {self.sent[-1:]}")

    def abort(self) -> None:
        """Raise, like close()."""
        raise AssertionError(f"aborted after {self.sent[-1:]}")


class Bench:
    """Data plane with in-memory callers and replicas."""

    def __init__(self, folder: Path) -> None:
        tables = RouteTables()
        TableStore(folder / FOLDER).load_into(tables)
        self._plane = build_data_plane(Settings(id="count", nats_url="nats://127.0.0.1:1"), tables, notify=lambda: None)
        parts = self._plane.context
        self._answering: list[tuple[ReplicaConnection, Wire]] = []
        for replica in (replica for serving in self._plane.backends for replica in serving.replicas.values()):
            for _ in range(TOGETHER):
                kept, wire = ReplicaConnection(replica, parts.head_limits, parts.coalescer), Wire()
                kept.connection_made(wire)
                replica.keep_idle(kept)
                self._answering.append((kept, wire))
        door = Listener(None)
        self._callers = [self._plane.downstreams.connect(door) for _ in range(TOGETHER)]
        for line in self._callers:
            line.connection_made(Wire())

    async def turn(self, given: Iterator[bytes]) -> None:
        """Serve one request of each caller."""
        for line in self._callers:
            line.data_received(next(given))
        await asyncio.sleep(0)
        for kept, wire in self._answering:
            if wire.sent:
                wire.sent.clear()
                kept.data_received(_ANSWER)
        await asyncio.sleep(0)
        for line in self._callers:
            (answer,) = line.transport.sent
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"answered {answer[:200]!r}")
            line.transport.sent.clear()


async def serve(folder: Path, requests: list[bytes], count: int) -> float:
    """Serve `count` of the requests, in turn; return the CPU seconds."""
    bench = Bench(folder)
    given = itertools.cycle(requests)
    for _ in range(WARM_UP // TOGETHER):
        await bench.turn(given)
    freeze_heap()
    begun = time.process_time()
    for _ in range(count // TOGETHER):
        await bench.turn(given)
    return time.process_time() - begun


def main() -> None:
    """Run with the command line's arguments."""
    folder, file, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    requests = file.read_bytes().rstrip(b"\0").split(b"\0")
    configure_logging("appproxy", level="info", log_format="json")
    seconds = uvloop.run(serve(folder, requests, count))
    print(f"{seconds / max(1, count) * 1e6:.2f}")


if __name__ == "__main__":
    main()
