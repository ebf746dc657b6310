"""App-proxy with two worker processes, and callers that know which of them answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.appproxy.control.workers.pool import WorkerPool
from headrace.common.contracts.messages.routes import RouteTable
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, running

_ID = b"X-Request-Id: "


@dataclass
class Answer:
    """Bytes received on a connection until its end."""

    data: bytes

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1]) if self.data else 0

    @property
    def worker(self) -> bytes:
        """Worker that answered, by the prefix of its request ids."""
        return self.data.partition(_ID)[2][:24]

    @property
    def whole(self) -> bool:
        """Whether a chunked answer is complete."""
        return self.data.endswith(b"0\r\n\r\n")


async def ask(port: int, path: str = "/chat/x") -> Answer:
    """Send one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(60):
            try:
                return Answer(await reader.read())
            except ConnectionResetError:
                return Answer(b"")
    finally:
        writer.close()


async def from_both(port: int, path: str = "/chat/x") -> list[Answer]:
    """Send requests until two workers have answered; return all answers."""
    answers: list[Answer] = []

    async def both() -> bool:
        answers.append(await ask(port, path))
        return len({answer.worker for answer in answers}) == 2

    await eventually(both, every_s=0)
    return answers


class CallerConnection:
    """Keep-alive connection of a caller. `worker`: the worker process that has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.worker = b""

    @classmethod
    async def to(cls, port: int) -> CallerConnection:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, path: str = "/chat/x") -> bytes:
        """Send a request and return its complete answer (chunked, or with a length)."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.worker = head.partition(_ID)[2][:24]
        if b"Transfer-Encoding: chunked" in head:
            return head + await self.reader.readuntil(b"0\r\n\r\n")
        return head + await self.reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))


async def accepts(port: int) -> bool:
    """Return whether the port accepts connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


async def refuses(port: int) -> bool:
    """Return whether the port refuses connections; one that was in the backlog when the listener closed is reset."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError as error:
        return isinstance(error, ConnectionRefusedError)
    writer.close()
    return False


class TwoWorkers:
    """App-proxy with two workers."""

    def __init__(self, world: AppProxyWorld) -> None:
        self.world = world
        assert isinstance(world.proxy.traffic, WorkerPool)
        self.traffic = world.proxy.traffic

    @property
    def port(self) -> int:
        return self.world.port

    @property
    def open(self) -> int:
        """Return the number of requests open on all replicas, as the workers reported last."""
        return sum(self.traffic.snapshot().in_flight.values())

    async def apply(self, table: RouteTable) -> None:
        """Apply a table, and return once both workers have it."""
        self.world.apply(table)
        await eventually(lambda: self.traffic.generations().get(table.service_id) == table.generation)

    async def replaced(self, pids: list[int]) -> list[int]:
        """Wait until two workers serve that are not both of these; return them."""
        await eventually(lambda: len(self.traffic.pids) == 2 and self.traffic.pids != pids)
        return self.traffic.pids

    async def metric(self, start: str) -> float:
        """Return the sum of the metric's samples whose lines begin so."""
        lines = (await self.world.metrics()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


@asynccontextmanager
async def two_workers(data_dir: Path, **settings: Any) -> AsyncIterator[TwoWorkers]:
    """Yield an app-proxy with two workers on free ports."""
    async with running(data_dir, **({"workers": 2, "shutdown_grace_s": 5, "access_log_share": 0} | settings)) as world:
        yield TwoWorkers(world)
