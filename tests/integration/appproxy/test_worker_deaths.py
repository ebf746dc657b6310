"""Workers that end: asked to, killed, or because their parent is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from aiohttp import web
from structlog.testing import capture_logs

from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.load import Load
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import backend, running
from tests.support.worlds.appproxy_replicas import fleet
from tests.support.worlds.appproxy_workers import Answer, CallerConnection, ask, from_both, refuses, two_workers


async def test_sigterm_of_a_worker_under_load_loses_nothing(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        if request.path == "/long":
            await go.wait()
        await response.write(b"last")
        return response

    async with backend(stream) as replica, two_workers(tmp_path / "data", shutdown_grace_s=20) as two:
        await two.apply(table("chat", routes=(route(port=replica.port),)))
        url = f"http://127.0.0.1:{two.port}/chat/short"
        streams = [asyncio.create_task(ask(two.port, "/chat/long")) for _ in range(20)]
        await eventually(lambda: two.open == 20)
        fresh: list[Answer] = []
        enough = asyncio.Event()

        async def strangers() -> None:
            while not enough.is_set():
                fresh.append(await ask(two.port, "/chat/short"))

        async with asyncio.TaskGroup() as group, Load(url, None, workers=8, pause_s=0) as load:
            for _ in range(4):
                group.create_task(strangers())
            pids = two.traffic.pids
            for _ in range(3):  # one after the other, and one of those who came for them
                victim = two.traffic.pids[0]
                before = len(load.answers)
                await eventually(lambda n=before: len(load.answers) > n + 20)
                os.kill(victim, signal.SIGTERM)
                await eventually(lambda victim=victim: len(two.traffic.pids) == 2 and victim not in two.traffic.pids)
            done = len(load.answers)
            await eventually(lambda: len(load.answers) > done + 100)
            enough.set()
        assert load.failures == []
        assert {answer.status for answer in fresh} == {200}
        assert all(answer.whole for answer in fresh)
        assert len({answer.worker for answer in fresh}) >= 3
        await eventually(lambda: two.open == 20, what="the streams that were open go on")
        go.set()
        ended = await asyncio.gather(*streams)
        assert {(answer.status, answer.whole) for answer in ended} == {(200, True)}
        await eventually(lambda: _gone(pids[0]))
        total = len(load.answers) + len(fresh) + len(streams)

        async def counted() -> bool:
            return await two.metric('headrace_proxy_requests_total{code="200"') == total

        await eventually(counted, what="every answer is counted once")
        assert await two.metric("headrace_proxy_interrupted_responses_total") == 0
        await eventually(lambda: two.open == 0)


async def test_sigkill_of_a_worker_costs_what_was_open_on_it_and_nothing_else(tmp_path: Path) -> None:
    async with fleet(1) as replicas, two_workers(tmp_path / "data") as two:
        (path,) = replicas.routes()
        first = table("chat", routes=(path,))
        await two.apply(first)
        await from_both(two.port)
        served = replicas.served[1]
        replicas.gate.clear()
        calls = [asyncio.create_task(ask(two.port)) for _ in range(20)]
        await eventually(lambda: replicas.served == {1: served + 20})
        until = datetime.now(UTC) + timedelta(seconds=60)
        draining = path.model_copy(update={"state": "draining", "drain_until": until})
        await two.apply(first.model_copy(update={"generation": 2, "routes": (draining,)}))
        pids = two.traffic.pids
        os.kill(pids[0], signal.SIGKILL)
        died = await _first_done(calls)
        assert 0 < len(died) < 20
        assert {answer.status for answer in died} == {0}
        after = await two.replaced(pids)
        assert after[1] == pids[1]
        assert two.open == 20 - len(died)
        replicas.gate.set()
        lived = [answer for answer in await asyncio.gather(*calls) if answer.status]
        assert {answer.status for answer in lived} == {200}
        assert len(lived) == 20 - len(died)
        session = path.session_id
        await eventually(lambda: two.traffic.snapshot().drains[session].in_flight == 0)
        receipt = two.traffic.snapshot().drains[session].receipt
        assert (receipt.started, receipt.finished, receipt.cut) == (20, len(lived), len(died))
        assert two.open == 0
        assert await two.metric("headrace_proxy_interrupted_responses_total{") == len(died)
        await two.apply(first.model_copy(update={"generation": 3, "routes": (path,)}))
        assert {answer.status for answer in await from_both(two.port)} == {200}


async def test_a_dead_workers_load_weighs_no_more(tmp_path: Path) -> None:
    """Its requests are gone; a limit that they filled is free again for both workers."""
    async with fleet(1, held=True) as replicas, two_workers(tmp_path / "data") as two:
        limits = Limits(max_in_flight_per_replica=1, max_queued=0)
        await two.apply(table("chat", routes=replicas.routes(), limits=limits))
        held = asyncio.create_task(ask(two.port))
        await eventually(lambda: two.open == 1)
        pids = two.traffic.pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert (await held).status == 0
        await eventually(lambda: len(two.traffic.pids) == 2 and not set(two.traffic.pids) & set(pids))
        assert two.open == 0
        replicas.gate.set()
        assert {answer.status for answer in await from_both(two.port)} == {200}


async def test_one_worker_alone_is_replaced_without_a_refused_connection(tmp_path: Path) -> None:
    async with fleet(1) as replicas, running(tmp_path / "data", workers=1, shutdown_grace_s=5) as world:
        world.apply(table("chat", routes=replicas.routes()))
        traffic = world.pool
        await eventually(traffic.generations)
        assert (await ask(world.port)).status == 200
        (pid,) = traffic.pids
        os.kill(pid, signal.SIGKILL)
        # It waits in the socket's queue, which the parent holds open, until the successor takes it.
        await eventually(lambda: traffic.alive() == 0)
        assert (await ask(world.port)).status == 200
        assert traffic.pids != [pid]


async def test_a_stopped_worker_is_replaced_and_who_waits_for_it_is_served(tmp_path: Path) -> None:
    """It is found by its silence; who connected to it meanwhile is in the queue of a socket that its successor gets."""
    async with fleet(1) as replicas, running(tmp_path / "data", workers=1, shutdown_grace_s=5) as world:
        world.apply(table("chat", routes=replicas.routes()))
        traffic = world.pool
        await eventually(traffic.generations)
        assert (await ask(world.port)).status == 200
        (pid,) = traffic.pids
        with capture_logs() as logs:
            os.kill(pid, signal.SIGSTOP)
            waiting = [asyncio.create_task(ask(world.port)) for _ in range(10)]
            assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}
        (said,) = [one for one in logs if one["event"] == "worker_hung"]
        assert (said["pid"], said["why"]) == (pid, "stopped")
        assert traffic.pids != [pid]
        await eventually(lambda: _gone(pid))


async def test_a_leaving_worker_answers_the_next_request_of_a_connection_whose_last_answer_promised_that(
    tmp_path: Path,
) -> None:
    go = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        if request.path == "/long":
            await go.wait()
        return response

    async with backend(stream) as replica, running(tmp_path / "data", workers=1, shutdown_grace_s=20) as world:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        traffic = world.pool
        await eventually(traffic.generations)
        line, other = await CallerConnection.to(world.port), await CallerConnection.to(world.port)
        answer = asyncio.create_task(line.ask("/chat/long"))
        await eventually(lambda: len(replica.seen) == 1)
        (pid,) = traffic.pids
        os.kill(pid, signal.SIGTERM)

        async def leaves() -> bool:
            return b"Connection: close" in await other.ask("/chat/short")

        await eventually(leaves)
        go.set()
        assert b"Connection: close" not in await answer
        last = await line.ask("/chat/short")
        assert last.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in last
        assert await line.reader.read() == b""
        await eventually(lambda: _gone(pid))
        assert traffic.pids != [pid]
        for one in (line, other):
            one.writer.close()


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    async with fleet(1) as replicas, two_workers(tmp_path / "data") as two:
        await two.apply(table("chat", routes=replicas.routes()))
        pids = two.traffic.pids
        os.kill(pids[0], signal.SIGSTOP)
        after = await two.replaced(pids)
        assert pids[0] not in after
        assert {answer.status for answer in await from_both(two.port)} == {200}


@asynccontextmanager
async def process(data: Path, *, grace_s: float) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, list[int]]]:
    """A whole app-proxy with two workers: its process, its port, its workers."""
    port, admin = free_port(), free_port()
    named = {
        "NATS_URL": "nats://127.0.0.1:1",
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": port,
        "ADMIN_PORT": admin,
        "DATA_DIR": data,
        "LOG_FORMAT": "json",
        "WORKERS": 2,
        "SHUTDOWN_GRACE_S": grace_s,
    }
    env = {**os.environ, **{f"HEADRACE_APPPROXY_{name}": str(value) for name, value in named.items()}}
    with (data / "log").open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace.appproxy", env=env, stdout=log, stderr=log
        )
    try:
        async with httpx.AsyncClient(verify=False, timeout=60) as http:

            async def ready() -> bool:
                try:
                    return (await http.get(f"http://127.0.0.1:{admin}/readyz")).status_code == 200
                except httpx.ConnectError:
                    return False

            await eventually(ready)
        yield started, port, _children(started.pid)
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def test_workers_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    async with backend() as replica:
        async with running(tmp_path) as world:
            world.apply(table("chat", routes=(route(port=replica.port),)))
        async with process(tmp_path, grace_s=1) as (parent, port, workers):
            assert {answer.status for answer in await from_both(port)} == {200}
            assert len(workers) == 2
            parent.kill()
            await parent.wait()
            await eventually(lambda: all(_gone(pid) for pid in workers))


async def test_sigterm_of_the_parent_drains_all_workers(tmp_path: Path) -> None:
    async with fleet(1, held=True) as replicas:
        async with running(tmp_path) as world:
            world.apply(table("chat", routes=replicas.routes()))
        async with process(tmp_path, grace_s=20) as (parent, port, workers):
            calls = [asyncio.create_task(ask(port)) for _ in range(20)]
            await eventually(lambda: replicas.served == {1: 20})
            for pid in (parent.pid, *workers):  # as a service manager does that signals the whole group
                os.kill(pid, signal.SIGTERM)
            await eventually(lambda: refuses(port))
            replicas.gate.set()
            answers = await asyncio.gather(*calls)
            assert {answer.status for answer in answers} == {200}
            assert len({answer.worker for answer in answers}) == 2
            assert await asyncio.wait_for(parent.wait(), 60) == 0
            assert all(_gone(pid) for pid in workers)
        said = (tmp_path / "log").read_text()
        assert "Traceback" not in said
        assert "worker_died" not in said


async def _first_done(calls: list[asyncio.Task[Answer]]) -> list[Answer]:
    """Return the answers of those that end as their worker dies: the others are held."""
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    seen: list[int] = []

    def settled() -> bool:
        seen.append(sum(call.done() for call in calls))
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    await eventually(settled)
    return [call.result() for call in calls if call.done()]


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def _gone(pid: int) -> bool:
    """Whether the process has ended (one that nobody has waited for counts)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True
