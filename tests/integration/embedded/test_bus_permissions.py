"""Each bus user on a real server: its own subjects work, all others are refused."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError
from nats.js.api import StreamConfig

from headrace.common.bus.permissions import embedded_users
from headrace.embedded.blocking import servers_in_thread
from headrace.embedded.stack import EmbeddedServers
from tests.support.wait import eventually
from tests.support.worlds.installation import Ports, installed, nats_running, on_this_machine


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    with servers_in_thread(
        tmp_path_factory.mktemp("bus") / "data", only={"nats"}, users=embedded_users(2), durable=False
    ) as running:
        yield running


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture(scope="module", params=["passwords", "signed identities"])
def connect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Connects a user to the embedded server, and to one with the files that `headrace init` makes."""
    if request.param == "passwords":
        running: EmbeddedServers = request.getfixturevalue("servers")

        async def by_password(name: str, **options: Any) -> Client:
            user, password = running.nats_user(name)
            return await nats.connect(running.nats_url, user=user, password=password, **options)

        yield by_password
        return
    data, ports = tmp_path_factory.mktemp("installation"), Ports()
    folder = installed(data / "etc", on_this_machine(ports, data / "data", "agent-1", "agent-2"))
    tls = ssl.create_default_context(cafile=folder / "tls/ca.crt")

    async def by_identity(name: str, **options: Any) -> Client:
        file = folder / f"bus/{'proxy-1' if name == 'appproxy' else name}.creds"
        return await nats.connect(f"tls://127.0.0.1:{ports.nats}", user_credentials=file, tls=tls, **options)

    with nats_running(folder, data / "data"):
        yield by_identity


class User:
    """A connected bus user that remembers what it was refused."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused: asyncio.Queue[str] = asyncio.Queue()
        self.bus: Client

    async def on_error(self, error: Exception) -> None:
        self.refused.put_nowait(str(error).lower())

    async def connect(self, connect: Connect) -> None:
        inbox = "proxy-1" if self.name == "appproxy" and "identity" in connect.__name__ else self.name
        self.bus = await connect(self.name, inbox_prefix=f"_INBOX_{inbox}", error_cb=self.on_error)

    async def flush(self) -> None:
        """Return when the server has taken all that was sent: nats-py sends the PING of a flush ahead of what waits to be written."""
        await self.bus.flush()
        await self.bus.flush()

    async def must_not_publish(self, subject: str) -> None:
        await self.bus.publish(subject, b"x")
        await self.flush()
        await self._must_be_refused("publish", subject)

    async def must_not_subscribe(self, subject: str) -> None:
        await self.bus.subscribe(subject)
        await self.flush()
        await self._must_be_refused("subscription", subject)

    async def _must_be_refused(self, what: str, subject: str) -> None:
        async with asyncio.timeout(60):
            error = await self.refused.get()
        assert "permissions violation" in error
        assert what in error
        assert subject.lower() in error


@asynccontextmanager
async def users(connect: Connect, *names: str) -> AsyncIterator[list[User]]:
    made = [User(name) for name in names]
    for user in made:
        await user.connect(connect)
    try:
        yield made
    finally:
        for user in made:
            await user.bus.close()


async def streams(manager: User) -> None:
    js = manager.bus.jetstream()
    for name, subject in {"PLANS": "plan.agent.*", "ROUTES": "route.*", "RULES": "rules.*"}.items():
        await js.add_stream(StreamConfig(name=name, subjects=[subject], max_msgs_per_subject=1, allow_direct=True))
    for subject in ("plan.agent.agent-1", "plan.agent.agent-2", "route.a", "route.b", "rules.a"):
        await js.publish(subject, subject.encode())


async def test_an_agent_reads_its_own_plan_and_no_other(connect: Connect) -> None:
    async with users(connect, "manager", "agent-1") as (manager, agent):
        await streams(manager)
        answer = await agent.bus.request("$JS.API.DIRECT.GET.PLANS.plan.agent.agent-1", b"", timeout=60)
        assert answer.data == b"plan.agent.agent-1"
        plans = await agent.bus.subscribe("plan.agent.agent-1")
        await agent.flush()

        async def heard() -> (
            bool
        ):  # published until heard, as managers do: this is about permission, not about one delivery
            await manager.bus.jetstream().publish("plan.agent.agent-1", b"new")
            with suppress(TimeoutError):  # the client's own is one
                return (await plans.next_msg(timeout=2)).data == b"new"
            return False

        assert await eventually(heard)
        for subject in (
            "$JS.API.DIRECT.GET.PLANS.plan.agent.agent-2",
            "$JS.API.DIRECT.GET.PLANS",
            "$JS.API.STREAM.MSG.GET.PLANS",
            "$JS.API.STREAM.PURGE.PLANS",
            "plan.agent.agent-1",
            "report.agent.agent-2",
            "logs.agent.agent-2.x",
            "rpc.manager.scale",
        ):
            await agent.must_not_publish(subject)
        for subject in (
            "plan.agent.agent-2",
            "plan.agent.*",
            "rpc.agent.agent-2.logs",
            "route.a",
            "_INBOX_manager.>",
            ">",
        ):
            await agent.must_not_subscribe(subject)


async def test_an_agent_reports_answers_and_streams_logs(connect: Connect) -> None:
    async with users(connect, "manager", "agent-1") as (manager, agent):
        reports = await manager.bus.subscribe("report.agent.*")
        chunks = await manager.bus.subscribe("logs.agent.agent-1.r4nd0m")
        calls = await agent.bus.subscribe("rpc.agent.agent-1.>")
        await manager.flush()
        await agent.flush()

        await agent.bus.publish("report.agent.agent-1", b"r")
        assert (await reports.next_msg(timeout=60)).data == b"r"

        async def answer_calls() -> None:
            call = await calls.next_msg(timeout=60)
            await call.respond(b"started")

        async def acknowledge() -> None:
            chunk = await chunks.next_msg(timeout=60)
            await chunk.respond(b"ack")

        async with asyncio.TaskGroup() as group:
            group.create_task(answer_calls())
            assert (await manager.bus.request("rpc.agent.agent-1.logs", b"", timeout=60)).data == b"started"
        async with asyncio.TaskGroup() as group:
            group.create_task(acknowledge())
            assert (await agent.bus.request("logs.agent.agent-1.r4nd0m", b"line", timeout=60)).data == b"ack"
        await chunks.unsubscribe()
        await manager.flush()
        with pytest.raises(NoRespondersError):
            await agent.bus.request("logs.agent.agent-1.r4nd0m", b"line", timeout=60)
        assert agent.refused.empty()


async def test_the_proxy_reads_all_routes_at_once_and_nothing_else(connect: Connect) -> None:
    async with users(connect, "manager", "appproxy") as (manager, proxy):
        await streams(manager)
        inbox = proxy.bus.new_inbox()
        got = await proxy.bus.subscribe(inbox)
        await proxy.bus.publish(
            "$JS.API.DIRECT.GET.ROUTES", json.dumps({"multi_last": ["route.*"], "batch": 1000}).encode(), reply=inbox
        )
        assert {(await got.next_msg(timeout=60)).data for _ in range(2)} == {b"route.a", b"route.b"}
        assert (await proxy.bus.request("$JS.API.DIRECT.GET.ROUTES.route.a", b"", timeout=60)).data == b"route.a"
        for subject in ("metrics.proxy.proxy-1", "report.proxy.proxy-1"):
            await proxy.bus.publish(subject, b"")
        await proxy.flush()
        assert proxy.refused.empty()
        for subject in ("route.a", "metrics.proxy.proxy-2", "$JS.API.DIRECT.GET.PLANS", "rpc.manager.scale"):
            await proxy.must_not_publish(subject)
        for subject in (
            "plan.agent.*",
            "rules.*",
            "report.agent.*",
            "rpc.proxy.proxy-2.own-port",
            "rpc.agent.agent-1.logs",
            "_INBOX_manager.>",
        ):
            await proxy.must_not_subscribe(subject)


async def test_the_proxy_answers_the_managers_questions(connect: Connect) -> None:
    async with users(connect, "manager", "appproxy", "agent-1") as (manager, proxy, agent):
        questions = await proxy.bus.subscribe("rpc.proxy.proxy-1.own-port")
        await proxy.flush()

        async def answer() -> None:
            await (await questions.next_msg(timeout=60)).respond(b"free")

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            assert (await manager.bus.request("rpc.proxy.proxy-1.own-port", b"", timeout=60)).data == b"free"
        assert proxy.refused.empty()
        await agent.must_not_publish("rpc.proxy.proxy-1.own-port")


async def test_nobody_has_a_stream_or_a_manager_write_where_he_may_not(connect: Connect) -> None:
    async with users(connect, "manager", "agent-1", "appproxy") as (manager, agent, proxy):
        await streams(manager)
        js = manager.bus.jetstream()
        everything = await manager.bus.subscribe(">")
        chunks = await manager.bus.subscribe("logs.agent.agent-1.r4nd0m")
        await manager.flush()
        for target in ("route.a", "plan.agent.agent-2", "$JS.API.STREAM.DELETE.ROUTES", "rpc.agent.agent-2.logs"):
            await agent.bus.publish("$JS.API.DIRECT.GET.PLANS.plan.agent.agent-1", b"", reply=target)
            await proxy.bus.publish("$JS.API.DIRECT.GET.ROUTES.route.b", b"", reply=target)
            await proxy.bus.publish("$JS.API.DIRECT.GET.ROUTES", b'{"seq":1,"next_by_subj":"route.*"}', reply=target)
            await agent.bus.publish("logs.agent.agent-1.r4nd0m", b"chunk", reply=target)
            await (await chunks.next_msg(timeout=60)).respond(b"")
        for user in (agent, proxy, manager):
            await user.flush()
        assert (await js.get_last_msg("ROUTES", "route.a", direct=True)).data == b"route.a"
        assert (await js.get_last_msg("PLANS", "plan.agent.agent-2", direct=True)).data == b"plan.agent.agent-2"
        assert {s.config.name for s in await js.streams_info()} == {"PLANS", "ROUTES", "RULES"}
        written = [m.subject for m in await _all_of(everything)]
        assert not [s for s in written if s.startswith(("route.", "plan.", "$JS.API.STREAM.DELETE", "rpc."))], written


async def _all_of(subscription: Subscription) -> list[Msg]:
    found = []
    with suppress(TimeoutError):
        while True:
            found.append(await subscription.next_msg(timeout=0.5))
    return found


async def test_the_autoscaler_hears_metrics_and_asks_to_scale(connect: Connect) -> None:
    async with users(connect, "manager", "autoscaler", "agent-1") as (manager, autoscaler, agent):
        await streams(manager)
        metrics = await autoscaler.bus.subscribe("metrics.>", queue="autoscaler")
        requests = await manager.bus.subscribe("rpc.manager.scale", queue="manager")
        for user in (manager, autoscaler):
            await user.flush()
        await agent.bus.publish("metrics.kernel.agent-1", b"m")
        assert (await metrics.next_msg(timeout=60)).data == b"m"
        assert (await autoscaler.bus.request("$JS.API.DIRECT.GET.RULES.rules.a", b"", timeout=60)).data == b"rules.a"

        async def grant() -> None:
            request = await requests.next_msg(timeout=60)
            await request.respond(b"scaled")

        async with asyncio.TaskGroup() as group:
            group.create_task(grant())
            assert (await autoscaler.bus.request("rpc.manager.scale", b"", timeout=60)).data == b"scaled"
        assert autoscaler.refused.empty()
        for subject in ("rules.a", "route.a", "metrics.kernel.agent-1", "$JS.API.STREAM.DELETE.RULES"):
            await autoscaler.must_not_publish(subject)
        for subject in ("plan.agent.*", "route.*", "report.agent.*"):
            await autoscaler.must_not_subscribe(subject)


async def test_nobody_connects_without_the_right_password(servers: EmbeddedServers) -> None:
    _, password = servers.nats_user("agent-2")
    assert await greeting(servers, {"user": "agent-2", "pass": password}) == b"PONG"
    for credentials in ({}, {"user": "agent-1", "pass": password}, {"user": "agent-3", "pass": password}):
        assert b"Authorization Violation" in await greeting(servers, credentials)
    with pytest.raises(KeyError):
        servers.nats_user("agent-3")


async def greeting(servers: EmbeddedServers, credentials: dict[str, str]) -> bytes:
    """The server's answer to CONNECT, by hand: nats-py leaks its socket when it is refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", servers.server_ports["nats"])
    try:
        await reader.readline()  # INFO
        writer.write(b"CONNECT " + json.dumps({"verbose": False, **credentials}).encode() + b"\r\nPING\r\n")
        async with asyncio.timeout(60):
            return (await reader.readline()).strip()
    finally:
        writer.close()
        await writer.wait_closed()
