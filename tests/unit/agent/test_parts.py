"""Parts that touch files and sockets, each by itself."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from headrace.agent.archive import LogArchive
from headrace.agent.domain.kernels import KernelRecord, SeenKernel
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.plans import Plans
from headrace.agent.prestart import PrestartLog
from headrace.agent.runtime.process.logfile import Follower, last_lines
from headrace.agent.runtime.process.process_tree import PortOwnership, listening
from headrace.agent.runtime.process.shim import LogWriter
from headrace.agent.scrape import EngineMetrics
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.messages.plans import NodePlan
from tests.support.wait import eventually
from tests.unit.agent.test_convergence import NOW, spec_of
from tests.unit.agent.test_decisions import PAGE

STAMPED = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def texts(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    assert all(STAMPED.match(line) for line in lines)
    return [STAMPED.sub("", line) for line in lines]


def test_the_log_writer_makes_whole_lines_with_times(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", 1_000_000)
    for piece in (b"one\ntw", b"o\n", b"10%\r20%\r30%\n", b"windows\r\n", b"x" * 20_000, b"\nend"):
        writer.feed(piece)
    writer.close()
    assert texts(tmp_path / "log") == ["one", "two", "30%", "windows", "x" * 16_384, "x" * 3_616, "end"]


def test_a_progress_bar_is_in_the_log_while_it_paints_at_most_once_a_second(tmp_path: Path) -> None:
    now = 100.0
    writer = LogWriter(tmp_path / "log", 1_000_000, clock=lambda: now)
    seen = []
    for percent in range(100):
        writer.feed(b"\r%d%%" % percent)
        now += 0.125
        seen.append(len(texts(tmp_path / "log")))
    assert seen[0] == 0, "what is painted last may still grow"
    assert seen[1] == 1
    assert seen[-1] == 13, "in 12.5 seconds"
    assert texts(tmp_path / "log")[:2] == ["0%", "8%"]
    writer.feed(b"\rdone\r")
    writer.feed(b"\nnext\n")
    assert texts(tmp_path / "log")[-2:] == ["done", "next"]


def test_the_log_is_rotated_and_its_tail_spans_both_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(path, 200_000)
    follower: Follower | None = None
    followed: list[str] = []
    for number in range(10_000):
        writer.feed(b"line %d\n" % number)
        if number == 100:
            follower = Follower(path)
            followed = follower.tail(3)
        if follower is not None and number % 50 == 0:
            followed += follower.more()
    assert follower is not None
    followed += follower.more()
    follower.close()
    assert path.stat().st_size + path.with_name("log.1").stat().st_size <= 200_000
    both = (path.with_name("log.1"), path)
    tail = [line.partition(" ")[2] for line in last_lines(both, 3000)]
    assert tail == [f"line {number}" for number in range(7_000, 10_000)]
    assert [line.partition(" ")[2] for line in followed] == [f"line {number}" for number in range(98, 10_000)]


@pytest.mark.parametrize("rotated_at", [None, "open", "tail", "look"])
@pytest.mark.parametrize("tail", [None, 100])
def test_what_is_written_while_a_log_is_opened_comes_once(
    tmp_path: Path, rotated_at: str | None, tail: int | None
) -> None:
    path, written = tmp_path / "log", 0

    def write(now: str = "") -> None:
        nonlocal written
        if now and now == rotated_at:
            path.replace(path.with_name("log.1"))
        with path.open("ab") as log:
            log.write(b"line %d\nline %d\nline" % (written, written + 1))
            log.write(b" %d\n" % (written + 2))
        written += 3

    write()
    follower = Follower(path)
    write("open")
    lines = follower.tail(tail)
    write("tail")
    lines += follower.more()
    write("look")
    while more := follower.more():
        lines += more
    follower.close()
    assert lines == [f"line {number}" for number in range(written)]


def test_a_half_line_comes_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    follower = Follower(path)
    assert follower.tail(None) == ["one"]
    with path.open("ab") as log:
        log.write(b"o\n")
    assert follower.more() == ["two"]
    follower.close()


async def test_a_reader_that_leaves_while_the_tail_is_read_closes_no_file_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its descriptor is another file's by the next read."""
    path = tmp_path / "log"
    path.write_text("one\n")
    reading, left, read, close = threading.Event(), threading.Event(), os.read, os.close
    closed: list[int] = []

    def slow_read(fd: int, size: int) -> bytes:
        reading.set()
        assert left.wait(60)
        assert fd not in closed
        return read(fd, size)

    def noted_close(fd: int) -> None:
        closed.append(fd)
        close(fd)

    follower = Follower(path)
    its = follower._fd
    monkeypatch.setattr(os, "read", slow_read)
    monkeypatch.setattr(os, "close", noted_close)
    tail = asyncio.create_task(asyncio.to_thread(follower.tail, None))
    await eventually(reading.is_set)
    follower.close()
    left.set()
    assert await tail == ["one"]
    assert [fd for fd in closed if fd == its] == [its]


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert last_lines((tmp_path / "no",), None) == []
    follower = Follower(tmp_path / "no")
    assert follower.more() == []
    (tmp_path / "no").write_text("late\n")
    assert follower.more() == ["late"]
    follower.close()


async def test_plans_only_go_forward_and_are_on_disk_first(tmp_path: Path) -> None:
    pokes: list[int] = []
    plans = Plans(tmp_path / "plan.json", "agent-1", on_new=lambda: pokes.append(1))
    for generation in (3, 2, 3, 5):
        await plans.offer(NodePlan(agent_id="agent-1", generation=generation, kernels=()))
    assert (plans.generation, len(pokes)) == (5, 2)
    again = Plans(tmp_path / "plan.json", "agent-1")
    again.load()
    assert again.generation == 5
    assert not again.confirmed.is_set()
    await again.offer(NodePlan(agent_id="agent-1", generation=5, kernels=()))
    assert again.confirmed.is_set()
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "plan.json").write_text("{broken")
    broken = Plans(tmp_path / "plan.json", "agent-1")
    broken.load()
    assert broken.newest is None
    other = Plans(tmp_path / "plan.json", "agent-2")
    await plans.offer(NodePlan(agent_id="agent-1", generation=6, kernels=()))
    other.load()
    assert other.newest is None


def test_the_table_keeps_its_records_and_says_when_something_changed(tmp_path: Path) -> None:
    changes: list[int] = []
    table = KernelRegistry(tmp_path, on_change=lambda: changes.append(1))
    table.load()
    spec = spec_of(KernelId(new_uuid()))
    record = KernelRecord(spec=spec, host_port=20005, started_at=NOW)
    table.put(record)
    table.put(record)
    assert len(changes) == 1
    seen = {spec.kernel_id: SeenKernel(spec.kernel_id, spec.session_id, None, "running", NOW, "h", 20006)}
    table.observe(seen)
    table.observe(dict(seen))
    assert len(changes) == 2
    assert table.ports_taken == {20005, 20006}
    again = KernelRegistry(tmp_path)
    (tmp_path / str(new_uuid())).mkdir()
    again.load()
    assert again.records == {spec.kernel_id: record}
    assert [row.kernel_id for row in again.reports()] == [spec.kernel_id]
    again.forget(spec.kernel_id)
    assert again.reports() == ()
    assert not (tmp_path / str(spec.kernel_id)).exists()


class Engine:
    """A server that does as told."""

    def __init__(self) -> None:
        self.status = 200
        self.page = PAGE
        self.free = asyncio.Event()
        self.free.set()
        self.asked = 0
        self.port = 0

    async def health(self, request: web.Request) -> web.Response:
        await self.free.wait()
        return web.Response(status=self.status)

    async def metrics(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.free.wait()
        return web.Response(status=self.status, text=self.page)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    app = web.Application()
    app.router.add_get("/health", engine.health)
    app.router.add_get("/metrics", engine.metrics)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine.port = runner.addresses[0][1]
    yield engine
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as opened:
        yield opened


async def test_engines_are_read_and_those_without_a_page_left_in_peace(
    engine: Engine, session: aiohttp.ClientSession
) -> None:
    kernel_id = KernelId(new_uuid())
    engines = EngineMetrics(session, "127.0.0.1")
    first = await engines.read({kernel_id: engine.port})
    assert first[kernel_id]["vllm:num_requests_running"] == 2.5, "a gauge's mean over its labels"
    assert not any(":rate" in name for name in first[kernel_id])
    second = await engines.read({kernel_id: engine.port})
    assert second[kernel_id]["requests_total:rate"] == 0
    engine.free.clear()  # longer than the others are kept waiting, but its values are not lost
    assert await engines.read({kernel_id: engine.port}) == {}
    engine.free.set()
    assert kernel_id in await engines.read({kernel_id: engine.port})
    engine.status = 404
    asked = engine.asked
    for _ in range(3):
        assert await engines.read({kernel_id: engine.port}) == {}
    assert engine.asked == asked + 1
    await engines.close()


class NoRuntime:
    """A runtime whose kernel said two lines."""

    async def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool) -> AsyncIterator[list[str]]:
        yield ["1 a", "2 b"]


async def test_ends_of_logs_are_kept_for_a_while(tmp_path: Path) -> None:
    prestart = PrestartLog(tmp_path / "k" / "prestart.log")
    prestart.begin()
    prestart.add("before\nall")
    kernel_id, other = KernelId(new_uuid()), KernelId(new_uuid())
    archive = LogArchive(tmp_path / "logs", timedelta(hours=1))
    await archive.keep(kernel_id, NoRuntime(), prestart)  # type: ignore[arg-type]
    kept = archive.lines(kernel_id)
    assert kept is not None
    assert [line.partition(" ")[2] for line in kept] == ["before", "all", "a", "b"]
    assert archive.lines(other) is None
    brief = LogArchive(tmp_path / "logs", timedelta(seconds=-1))
    await brief.keep(other, NoRuntime(), prestart)  # type: ignore[arg-type]
    assert archive.lines(kernel_id) is None


async def test_of_an_engines_page_only_what_somebody_wants_is_read(
    engine: Engine, session: aiohttp.ClientSession
) -> None:
    engines = EngineMetrics(session, "127.0.0.1")
    kernel_id = KernelId(new_uuid())
    found = await engines.read({kernel_id: engine.port}, {kernel_id: ("vllm:num_requests_running",)})
    assert set(found[kernel_id]) == {"vllm:num_requests_running"}
    assert await engines.read({}, {}) == {}
    assert engine.asked == 1
    await engines.close()


def test_ports_seen_to_be_the_kernels_own_share_a_look_at_the_systems_sockets() -> None:
    reads = []

    def read() -> dict[int, frozenset[str]]:
        reads.append(1)
        return listening()

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        kernels = {KernelId(new_uuid()): server.getsockname()[1] for server in (one, other)}
        found = PortOwnership(read)
        # This process and its siblings stand for a kernel's family.
        assert [found.problem(kernel_id, os.getppid(), port) for kernel_id, port in kernels.items()] == [None, None]
        assert len(reads) == 2  # the first look is always one of its own
        for _ in range(50):
            for kernel_id, port in kernels.items():
                assert found.problem(kernel_id, os.getppid(), port) is None
        assert len(reads) < 50
        before = len(reads)
        nobody = KernelId(new_uuid())
        problem = found.problem(nobody, 2**30, next(iter(kernels.values())))
        assert problem is not None
        assert problem.foreign
        assert len(reads) == before + 2  # and once more before it is said


def test_a_socket_that_is_gone_again_is_nobody_elses() -> None:
    """A program that opens its port anew (a reload) closes sockets while its processes are looked at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        now = listening()
        looks = [{port: now[port] | {"1"}}, now]
        assert PortOwnership(lambda: looks.pop(0)).problem(KernelId(new_uuid()), os.getppid(), port) is None
        assert looks == []
    problem = PortOwnership(dict).problem(KernelId(new_uuid()), os.getppid(), port)
    assert problem is not None
    assert not problem.foreign  # a failed check, which max_retries allow for


def test_a_program_whose_sockets_may_not_be_looked_at_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def closed(path: str) -> list[str]:
        if path == f"/proc/{os.getpid()}/fd":
            raise PermissionError(path)
        return real(path)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(os, "listdir", closed)
        assert PortOwnership().problem(KernelId(new_uuid()), os.getppid(), port) is None
        problem = PortOwnership().problem(KernelId(new_uuid()), 2**30, port)
        assert problem is not None
        assert problem.foreign
