"""Servers that die under a manager: nothing that runs is touched, and what was asked meanwhile happens afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import asyncpg
import pytest

from headrace.common.bus.connect import open_bus
from headrace.common.bus.permissions import embedded_users
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import open_pool
from headrace.embedded.stack import EmbeddedServers
from tests.support.fakes.agent import FakeAgent
from tests.support.fakes.appproxy import FakeAppProxy
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld, manager_world

T = TypeVar("T")


@pytest.fixture
async def own_servers(tmp_path: Path) -> AsyncIterator[EmbeddedServers]:
    """Servers of the test's own, which it may kill."""
    async with EmbeddedServers(tmp_path / "data", users=embedded_users(2), only={"postgres", "nats"}) as servers:
        yield servers


@pytest.fixture
async def world(own_servers: EmbeddedServers) -> AsyncIterator[ManagerWorld]:
    """Managers on these servers."""
    async with AsyncExitStack() as stack:
        servers = own_servers
        await migrate(servers.database_url)
        pool = await stack.enter_async_context(open_pool(servers.database_url, size=8))
        user, password = servers.nats_user("manager")
        async with open_bus(servers.nats_url, user=user, password=password, name="test") as bus:
            await ensure_streams(bus)
        yield await stack.enter_async_context(manager_world(pool, servers))


def _kill(servers: EmbeddedServers, name: str) -> None:
    pid = servers.supervisors[name].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def _live(world: ManagerWorld) -> list[UUID]:
    return [row["id"] for row in await world.pool.fetch("select id from sessions where status <> 'ended' order by id")]


async def _settled(agent: FakeAgent, proxy: FakeAppProxy, service: UUID, replicas: int) -> None:
    await eventually(lambda: len(agent.kernels) == replicas and proxy.serving(service) == replicas)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["nats", "postgres"])
async def test_an_outage_touches_nothing_that_runs(
    world: ManagerWorld, own_servers: EmbeddedServers, name: str
) -> None:
    await world.manager(lost_after_s=2)
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2)
        await _settled(agent, proxy, service, 2)
        before = await _live(world)
        for wanted in (3, 2):
            keeper = own_servers.supervisors[name]
            restarts = keeper.restarts
            _kill(own_servers, name)
            await eventually(lambda: keeper.restarts > restarts)  # noqa: B023 - awaited in this turn
            await eventually(lambda: _works(world))
            await world.set(service, wanted=wanted)
            await _settled(agent, proxy, service, wanted)
            assert set(before) <= set(await _live(world)), "worst go first, and the first two are the oldest"
        assert await world.pool.fetchval("select count(*) from agents where lost_at is not null") == 0


async def test_what_is_stopped_and_deleted_while_parts_are_away_is_gone_when_its_machine_says_so(
    world: ManagerWorld, own_servers: EmbeddedServers
) -> None:
    """The app-proxy is gone for good with requests open, and the bus is killed as the user asks."""
    await world.manager(lost_after_s=5)
    proxy = await world.proxy_to_start("gone")
    async with (await world.agent()).alive() as agent:
        stopped = await world.service("a", grace_s=0.5)
        deleted = await world.service("b", grace_s=0.5)
        async with proxy.alive():
            proxy.in_flight = 3
            await eventually(lambda: proxy.serving(stopped) == proxy.serving(deleted) == 1)
        _kill(own_servers, "nats")
        await world.set(stopped, goal="stopped")
        await world.set(deleted, goal="deleting")

        async def gone() -> bool:
            done = await world.pool.fetchval("select deleted_at is not null from services where id = $1", deleted)
            return bool(done) and await _live(world) == [] and not agent.kernels

        await eventually(gone)
        assert await world.pool.fetchval("select count(*) from allocations") == 0


async def _works(world: ManagerWorld) -> bool:
    try:
        return bool(await world.pool.fetchval("select true", timeout=2))
    except Exception as error:
        raise AssertionError(f"not yet: {error}") from error


async def test_a_pass_cut_anywhere_is_made_good(world: ManagerWorld, own_servers: EmbeddedServers) -> None:
    """Every connection to the database is cut again and again while services come, grow, shrink, change and go."""
    async with world.running_manager(lost_after_s=5):
        proxy = await world.proxy()
        async with (await world.agent(cpu="32")).alive() as agent:
            service = await world.service("a", replicas=0, grace_s=1)
            other = await world.service("b", replicas=0, grace_s=1)
            revision = await world.revision(other, 2)
            async with _cutting(own_servers):
                await _persist(lambda: world.set(service, wanted=4))
                await _persist(lambda: world.set(other, wanted=2))
                await _settled_kernels(agent, {service: 4, other: 2})
                await _persist(lambda: world.set(service, wanted=1))
                await _persist(lambda: world.set(other, revision_id=revision))
                await _settled_kernels(agent, {service: 1, other: 2})
                await _persist(lambda: world.set(other, goal="deleting"))
                await _settled_kernels(agent, {service: 1})
            await eventually(lambda: proxy.serving(service) == 1 and proxy.tables[other].removed)

            async def free() -> bool:
                query = "select count(*) from allocations where slot = 'cpu'"
                return bool(await _persist(lambda: world.pool.fetchval(query)) == 1)

            await eventually(free)
            live = await world.pool.fetch("select service_id, status from sessions where status <> 'ended'")
            assert [tuple(row) for row in live] == [(service, "running")]


@asynccontextmanager
async def _cutting(servers: EmbeddedServers) -> AsyncIterator[None]:
    """Cut all connections to the database every so often, from one that is spared. The pauses grow, so that passes come through
    on a machine of any speed."""
    stop = asyncio.Event()

    async def cut() -> None:
        pause_s = 0.35
        async with open_pool(servers.database_url, size=1, application="cutter") as pool:
            while not stop.is_set():
                await pool.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'headrace'"
                )
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await stop.wait()
                pause_s *= 1.1

    async with asyncio.TaskGroup() as group:
        group.create_task(cut())
        try:
            yield
        finally:
            stop.set()


async def _persist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat what the cutter interrupted; all of these calls may be made twice, since a cut commit may have been one."""
    async with asyncio.timeout(60):
        while True:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                return await call()


async def _settled_kernels(agent: FakeAgent, wanted: dict[UUID, int]) -> None:
    def counted() -> bool:
        found: dict[UUID, int] = {}
        for spec in agent.kernels.values():
            if spec.service_id is not None:
                found[spec.service_id] = found.get(spec.service_id, 0) + 1
        return found == wanted

    await eventually(counted, within_s=60, what=f"kernels {wanted}")


async def test_a_crashed_replica_is_out_of_every_table_without_a_periodic_pass(world: ManagerWorld) -> None:
    """The report of its end is what takes it out: loops that would look by themselves do so in an hour."""
    await world.manager(every_s=3600)
    proxy = await world.proxy()
    crashed: set[UUID] = set()
    async with (await world.agent()).alive() as agent:

        def outcome(spec: KernelSpec) -> str:
            return "failed" if spec.kernel_id in crashed else "healthy"

        agent.outcome = outcome  # type: ignore[assignment]
        service = await world.service("s", replicas=3)
        await _settled(agent, proxy, service, 3)
        for _ in range(3):
            victim = next(iter(agent.kernels.values()))
            crashed.add(victim.kernel_id)
            agent.report_now()
            await eventually(lambda: victim.session_id not in _active(proxy, service), every_s=0.005)  # noqa: B023
            await _settled(agent, proxy, service, 3)


def _active(proxy: FakeAppProxy, service: UUID) -> set[UUID]:
    return {r.session_id for r in proxy.tables[service].routes if r.state == "active"}  # type: ignore[index]
