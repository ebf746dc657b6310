"""A NATS cluster of three: whichever server dies, values are still published, stored and read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.permissions import BusUser, UserKind
from headrace.common.bus.publish import publish_last
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import BusUnavailable
from tests.support.nats_cluster import PASSWORD, NatsCluster, nats_cluster
from tests.support.wait import eventually

USERS = [BusUser("manager", UserKind.MANAGER), BusUser("appproxy", UserKind.APPPROXY, "*")]
SERVICE, PROJECT = ServiceId(new_uuid()), ProjectId(new_uuid())


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    with nats_cluster(tmp_path, USERS) as running:
        yield running


@pytest.fixture
async def manager(cluster: NatsCluster) -> AsyncIterator[Bus]:
    async with open_bus(cluster.nats_url, user="manager", password=PASSWORD, name="manager") as bus:
        await eventually(lambda: _streams_of(bus, 3), within_s=60)
        yield bus


async def _streams_of(bus: Bus, replicas: int) -> bool:
    try:
        await ensure_streams(bus, replicas=replicas)
    except (NatsError, TimeoutError, OSError):
        return False
    return True


async def _publish(bus: Bus, generation: int) -> None:
    """Publish a table until it is stored, as the manager's loop does."""

    async def stored() -> bool:
        with suppress(BusUnavailable):
            await publish_last(bus, RouteTable(service_id=SERVICE, generation=generation, name="s", project_id=PROJECT))
            return True
        return False

    await eventually(stored, within_s=60)


async def test_tables_flow_again_whichever_server_dies(cluster: NatsCluster, manager: Bus) -> None:
    seen: list[int] = []

    async def deliver(message: Message) -> None:
        assert isinstance(message, RouteTable)
        seen.append(message.generation)

    async with open_bus(cluster.nats_url, user="appproxy", password=PASSWORD, name="proxy") as proxy:
        watch = LastValues(proxy, RouteTable, deliver, resync=timedelta(seconds=2))
        task = asyncio.create_task(watch.run())
        await asyncio.wait_for(watch.synced.wait(), 60)
        leader = cluster.leader("ROUTES")
        generation = 0
        for node in (leader, *(node for node in cluster.nodes if node is not leader)):
            node.kill()
            for _ in range(3):
                generation += 1
                await _publish(manager, generation)
                await eventually(lambda: generation in seen)  # noqa: B023 - awaited here
            node.start()
            await asyncio.to_thread(cluster.whole)
        watch.stop()
        await asyncio.wait_for(task, 60)


async def test_streams_of_one_server_become_those_of_three_with_all_they_have(cluster: NatsCluster) -> None:
    async with open_bus(cluster.nats_url, user="manager", password=PASSWORD, name="manager") as bus:
        await eventually(lambda: _streams_of(bus, 1), within_s=60)
        await _publish(bus, 7)
        await eventually(lambda: _streams_of(bus, 3), within_s=60)

        async def copied() -> bool:
            info = await JetStreamContext(bus.client).stream_info("ROUTES")
            return info.cluster is not None and len(info.cluster.replicas or []) == 2 and info.state.messages == 1

        await eventually(copied, within_s=60)


async def test_more_copies_than_servers_is_an_error_that_says_so(tmp_path: Path) -> None:
    with nats_cluster(tmp_path, USERS) as cluster:
        async with open_bus(cluster.nats_url, user="manager", password=PASSWORD, name="manager") as bus:
            await eventually(lambda: _streams_of(bus, 1), within_s=60)
            with pytest.raises(APIError, match=r"insufficient resources|no suitable peers"):
                await ensure_streams(bus, replicas=5)
