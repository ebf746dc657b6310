"""The app-proxy on a real NATS: tables arrive, reports and samples leave, and losing the bus loses nothing but changes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from headrace.appproxy import wiring
from headrace.appproxy.control import reporting
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues, subscribed
from headrace.common.bus.publish import ask, publish_last
from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.messages.metrics import ProxyMetrics
from headrace.common.contracts.messages.own_ports import OwnPortReply, OwnPortRequest
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.contracts.messages.routes import Revocation, RouteTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.runtime.clock import utc_now
from headrace.embedded.stack import EmbeddedServers
from tests.support.factories.route_tables import Signer, route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, running


def bus_settings(servers: EmbeddedServers) -> dict[str, str]:
    user, password = servers.nats_user("appproxy")
    return {"id": "proxy-1", "nats_url": servers.nats_url, "nats_user": user, "nats_password": password}


@pytest.fixture
async def world(servers: EmbeddedServers, bus: Bus, tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    """An app-proxy with the real appproxy user's permissions."""
    async with running(tmp_path / "data", advertise_url="http://proxy.test", **bus_settings(servers)) as one:
        await eventually(lambda: one.proxy.bus.connected)
        yield one


@pytest.fixture
async def hourly(
    servers: EmbeddedServers, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AppProxyWorld]:
    """One whose periodic report comes in an hour: what it says earlier, it says because something happened."""
    for module in (wiring, reporting):
        monkeypatch.setattr(module, "EVERY", timedelta(hours=1))
    async with running(tmp_path / "hourly", **bus_settings(servers)) as one:
        await eventually(lambda: one.proxy.bus.connected)
        yield one


class Heard:
    """What the proxy said on the bus."""

    def __init__(self) -> None:
        self.reports: list[ProxyReport] = []
        self.metrics: list[ProxyMetrics] = []

    async def report(self, message: ProxyReport) -> None:
        self.reports.append(message)

    async def sample(self, message: ProxyMetrics) -> None:
        self.metrics.append(message)


@pytest.fixture
async def heard(bus: Bus) -> AsyncIterator[Heard]:
    """Everything that proxies say."""
    said = Heard()
    async with subscribed(bus, ProxyReport, said.report), subscribed(bus, ProxyMetrics, said.sample):
        yield said


async def status(world: AppProxyWorld, path: str) -> int:
    return (await world.http.get(world.url + path)).status_code


async def test_who_comes_back_refuses_what_was_revoked_meanwhile_from_the_first_request_on(
    servers: EmbeddedServers, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer, token_id = Signer(), TokenId(new_uuid())
    go, read = asyncio.Event(), LastValues.read_stored

    async def held(self: LastValues[RouteTable]) -> None:
        await go.wait()
        await read(self)

    monkeypatch.setattr(LastValues, "read_stored", held)
    port = free_port()
    async with backend() as replica:
        one = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        async with running(tmp_path / "data") as before:
            before.apply(one)
        gone = Revocation(token_id=token_id, expires_at=utc_now() + timedelta(hours=1))
        await publish_last(bus, one.model_copy(update={"generation": 2, "revocations": (gone,)}))

        async def ask() -> bytes:
            reader, writer = await _connected(port)
            shown = f"Bearer {signer.token(one.service_id, token_id=token_id)}"
            writer.write(f"GET /chat/ HTTP/1.1\r\nHost: x\r\nAuthorization: {shown}\r\n\r\n".encode())
            try:
                return await reader.readline()
            finally:
                writer.close()

        first = asyncio.create_task(ask())
        asyncio.get_running_loop().call_later(1, go.set)  # by then one that did not wait would have answered
        more = {"listen_port": port, "first_tables_s": 60, **bus_settings(servers)}
        async with running(tmp_path / "data", **more):
            assert (await asyncio.wait_for(first, 60)).startswith(b"HTTP/1.1 401 ")
            assert replica.seen == []


async def test_who_finds_no_bus_serves_by_the_tables_on_disk(tmp_path: Path) -> None:
    async with backend() as replica:
        async with running(tmp_path / "data") as before:
            before.apply(table("chat", routes=(route(port=replica.port),)))
        async with running(tmp_path / "data", first_tables_s=0.2) as after:
            assert await status(after, "/chat/") == 200


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as soon as somebody listens."""

    async def connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        with suppress(ConnectionRefusedError):
            return await asyncio.open_connection("127.0.0.1", port)
        return None

    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] = await eventually(connected)
    return streams


async def test_tables_arrive_change_and_end(world: AppProxyWorld, bus: Bus, heard: Heard) -> None:
    async with backend() as replica:
        first = table("chat", routes=(route(port=replica.port),))
        await publish_last(bus, first)
        await eventually(lambda: first.service_id in world.proxy.tables.generations())
        assert await status(world, "/chat/") == 200
        await eventually(lambda: any(r.generations == {first.service_id: 1} for r in heard.reports))
        assert heard.reports[-1].url == "http://proxy.test"
        await publish_last(bus, first.model_copy(update={"generation": 3, "name": "talk"}))
        await eventually(lambda: world.proxy.tables.by_name("talk") is not None)
        await publish_last(bus, first.model_copy(update={"generation": 2}))
        assert (await status(world, "/talk/"), await status(world, "/chat/")) == (200, 404)
        await publish_last(bus, first.model_copy(update={"generation": 4, "removed": True}))
        await eventually(lambda: len(world.proxy.tables) == 0)
        assert await status(world, "/talk/") == 404
        await eventually(lambda: heard.reports[-1].generations == {})


async def test_an_own_port_that_is_not_open_is_reported_with_its_reason(
    world: AppProxyWorld, bus: Bus, heard: Heard
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await publish_last(bus, table("chat", port=port))
        await eventually(lambda: heard.reports and heard.reports[-1].ports_failed)
        assert heard.reports[-1].ports_failed == {port: "Address already in use"}
    await eventually(lambda: heard.reports[-1].ports_failed == {})


async def test_a_manager_asks_before_whether_a_port_can_be_opened(
    world: AppProxyWorld, bus: Bus, heard: Heard, servers: EmbeddedServers
) -> None:
    async def why_not(port: int) -> str | None:
        asked = OwnPortRequest(proxy_id="proxy-1", port=port)
        return (await ask(bus, asked, OwnPortReply, timeout_s=60)).why_not

    async def answers() -> bool:
        with suppress(BusUnavailable):
            return await why_not(free_port()) is None
        return False

    await eventually(answers)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert await why_not(port) == "Address already in use"
    assert await why_not(port) is None
    socket.create_server(("127.0.0.1", port)).close()  # the question left nothing behind
    assert await why_not(world.proxy.listeners.port) == "something else of the installation listens there"
    await publish_last(bus, table("chat", port=port))
    await eventually(lambda: heard.reports and heard.reports[-1].ports_open == frozenset({port}))
    assert await why_not(port) is None, "it is open already: whose it is the manager knows"


async def test_a_change_is_used_and_reported_by_itself_and_not_with_the_next_periodic_report(
    hourly: AppProxyWorld, bus: Bus, heard: Heard
) -> None:
    first = table("chat", routes=(route(port=9),))
    for generation in range(1, 31):
        await publish_last(bus, first.model_copy(update={"generation": generation}))
        await eventually(
            lambda g=generation: hourly.proxy.tables.generations().get(first.service_id) == g, every_s=0.001
        )
        await eventually(
            lambda g=generation: any(r.generations.get(first.service_id) == g for r in heard.reports), every_s=0.001
        )


async def test_a_drain_is_reported_to_its_end(hourly: AppProxyWorld, bus: Bus, heard: Heard) -> None:
    go = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.Response(text="whole")

    async with backend(slow) as old, backend() as new:
        old_route, new_route = route(1, port=old.port), route(2, port=new.port)
        first = table("chat", routes=(old_route,))
        await publish_last(bus, first)
        await eventually(lambda: hourly.proxy.tables.generations().get(first.service_id) == 1)
        held = asyncio.create_task(hourly.http.get(f"{hourly.url}/chat/"))
        await eventually(lambda: len(old.seen) == 1)
        draining = first.model_copy(
            update={"generation": 2, "routes": (old_route.model_copy(update={"state": "draining"}), new_route)}
        )
        await publish_last(bus, draining)

        def last() -> tuple[int | None, dict[int, int]]:
            report = heard.reports[-1]
            return report.generations.get(first.service_id), {d.session_id.int: d.in_flight for d in report.draining}

        await eventually(lambda: last() == (2, {1: 1}))
        for _ in range(10):
            assert (await hourly.http.get(f"{hourly.url}/chat/")).text == "GET /"
        # The manager's patience ends: the route is gone, the open request is not.
        await publish_last(bus, draining.model_copy(update={"generation": 3, "routes": (new_route,)}))
        await eventually(lambda: last() == (3, {1: 1}))
        go.set()
        assert (await held).text == "whole"
        await eventually(lambda: last() == (3, {1: 0}), every_s=0.001)
        receipt = heard.reports[-1].draining[0].receipt
        assert receipt is not None
        assert (receipt.started, receipt.finished, receipt.failed, receipt.cut) == (1, 1, 0, 0)
        assert receipt.slowest_s > 0


async def test_samples(world: AppProxyWorld, bus: Bus, heard: Heard) -> None:
    async def work(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500 if request.path == "/bad" else 200, text="x")

    async with backend(work) as replica:
        first = table("chat", routes=(route(5, port=replica.port),))
        await publish_last(bus, first)
        await eventually(lambda: len(world.proxy.tables) == 1)
        heard.metrics.clear()
        for _ in range(9):
            await world.http.get(f"{world.url}/chat/")
        await world.http.get(f"{world.url}/chat/bad")

        def values() -> list[dict[str, float]]:
            return [s.values for m in heard.metrics for s in m.samples if s.session_id.int == 5]

        def total(name: str) -> float:
            return sum(v[name] for v in values())

        await eventually(
            lambda: total("headrace_requests_per_second") > 8, what="about ten requests over about a second"
        )
        await eventually(lambda: 0.8 < total("headrace_errors_per_second") < 1.3)
        assert all(v["headrace_in_flight"] == 0 for v in values())
        busy = [v for v in values() if "headrace_duration_seconds" in v]
        assert 0 < busy[0]["headrace_time_to_first_byte_seconds"] <= busy[0]["headrace_duration_seconds"] < 1
        seen = len(values())
        await eventually(lambda: len(values()) > seen + 1, what="samples of a replica at rest")
        assert values()[-1] == {
            "headrace_in_flight": 0,
            "headrace_requests_per_second": 0,
            "headrace_errors_per_second": 0,
            "headrace_bytes_sent_per_second": 0,
            "headrace_prompt_tokens_per_second": 0,
            "headrace_completion_tokens_per_second": 0,
        }


async def test_everything_away_then_back(servers: EmbeddedServers, bus: Bus, heard: Heard, tmp_path: Path) -> None:
    """Known tables are served without the bus; when it comes, what was missed meanwhile is read."""
    async with backend() as replica:
        first = table("chat", routes=(route(port=replica.port),))
        second = table("late", routes=(route(2, port=replica.port),))
        async with running(tmp_path / "data", **bus_settings(servers)) as world:
            await publish_last(bus, first)
            await eventually(lambda: len(world.proxy.tables) == 1)
        await publish_last(bus, first.model_copy(update={"generation": 2, "name": "renamed"}))
        await publish_last(bus, second)
        front = _Cut(servers.nats_url)
        await front.open()
        async with front, running(tmp_path / "data", **(bus_settings(servers) | {"nats_url": front.url})) as world:
            assert await status(world, "/chat/") == 200
            assert not world.proxy.bus.connected
            front.joined.set()
            await eventually(lambda: world.proxy.tables.by_name("renamed") is not None, within_s=15)
            assert (await status(world, "/late/"), await status(world, "/chat/")) == (200, 404)
            await front.cut()
            for _ in range(20):
                assert await status(world, "/late/") == 200
            await eventually(lambda: not world.proxy.bus.connected, within_s=15)
            await publish_last(bus, second.model_copy(update={"generation": 2, "name": "missed"}))
            front.joined.set()
            await eventually(lambda: world.proxy.tables.by_name("missed") is not None, within_s=15)
            heard.reports.clear()
            await eventually(lambda: len(heard.reports) > 1, what="reports go on")


class _Cut:
    """A way to NATS that can be closed."""

    def __init__(self, url: str) -> None:
        self._target = httpx.URL(url)
        self.joined = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def cut(self) -> None:
        self.joined.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if not self.joined.is_set():
            writer.close()
            return
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)

        async def copy(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                to.write(data)
                await to.drain()

        try:
            await asyncio.wait(
                {asyncio.create_task(copy(reader, far_writer)), asyncio.create_task(copy(far_reader, writer))},
                return_when=asyncio.FIRST_COMPLETED,
            )
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            far_writer.close()

    async def __aenter__(self) -> _Cut:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        self._server.close()
