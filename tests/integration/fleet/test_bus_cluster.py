"""A fleet on a NATS cluster of three: whichever server dies, callers notice nothing, and changes still happen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from headrace.common.bus.permissions import BusUser, UserKind
from headrace.common.db.pool import Pool
from tests.chaos.processes import ProxyProcess, app_proxy
from tests.integration.fleet.conftest import SPEC, machine_running
from tests.support.load import Load
from tests.support.nats_cluster import NatsCluster, nats_cluster
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld, manager_world

AGENTS = ("agent-1", "agent-2")
USERS = [
    BusUser("manager", UserKind.MANAGER),
    BusUser("appproxy", UserKind.APPPROXY, "*"),
    *(BusUser(agent, UserKind.AGENT, agent) for agent in AGENTS),
]


@pytest.fixture
async def cluster_fleet(pool: Pool, tmp_path: Path) -> AsyncIterator[tuple[NatsCluster, ManagerWorld, ProxyProcess]]:
    """The cluster, a manager with two machines, and an app-proxy's process."""
    async with AsyncExitStack() as stack:
        cluster = stack.enter_context(nats_cluster(tmp_path, USERS))
        world = await stack.enter_async_context(manager_world(pool, cluster))
        for agent in AGENTS:
            await stack.enter_async_context(machine_running(agent, cluster, tmp_path, NATS_URL=cluster.nats_url))
        await world.manager(lost_after_s=8, nats_replicas=3)
        proxy = stack.enter_context(app_proxy(cluster, tmp_path / "proxy", workers=2))
        await eventually(proxy.ready)
        yield cluster, world, proxy


async def test_whichever_server_dies_no_request_is_lost_and_replicas_still_come_and_go(
    cluster_fleet: tuple[NatsCluster, ManagerWorld, ProxyProcess],
) -> None:
    cluster, world, proxy = cluster_fleet
    service = await world.service("chat", replicas=1, spec=SPEC)
    await world.set(service, open_to_public=True)

    async def routes() -> int:
        async with httpx.AsyncClient(verify=False, timeout=10) as http:
            tables = (await http.get(f"{proxy.admin}/routes")).json()["services"]
        return sum(len(table["routes"]) for table in tables if table["name"] == "chat")

    async def serving(replicas: int) -> bool:
        return await routes() == replicas and await world.statuses(service) == ["running"] * replicas

    await eventually(lambda: serving(1), within_s=90)
    async with Load(f"http://127.0.0.1:{proxy.port}/chat/", None, workers=4) as load:
        leader = cluster.leader("PLANS")
        for node in (leader, *(node for node in cluster.nodes if node is not leader)):
            node.kill()
            for replicas in (2, 1):  # a plan for an agent, its reports, and a table for the app-proxy
                await world.set(service, wanted=replicas)
                await eventually(lambda: serving(replicas), within_s=90)  # noqa: B023 - awaited here
            node.start()
            await asyncio.to_thread(cluster.whole)
        before = len(load.answers)
        await eventually(lambda: len(load.answers) > before + 50)
    assert load.failures == []
