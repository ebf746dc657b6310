"""Weights from the manager's REST API to the split that callers see, through the database, the loops and the bus."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import KernelId
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, running
from tests.support.worlds.appproxy_replicas import Fleet, fleet
from tests.support.worlds.manager import manager_world
from tests.support.worlds.manager_api import ManagerApi, serving


class _PortsOf(dict[KernelId, int]):
    """Gives each kernel that a machine starts the port of a replica that runs here."""

    def __init__(self, some: Fleet) -> None:
        self._free = [replica.port for replica in some.replicas.values()]

    def setdefault(self, key: KernelId, default: int = 0, /) -> int:
        if key not in self:
            self[key] = self._free.pop(0)
        return self[key]


@pytest.fixture
async def proxy(servers: EmbeddedServers, bus: Bus, tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    """An app-proxy on the bus."""
    user, password = servers.nats_user("appproxy")
    async with running(
        tmp_path / "data", id="proxy-1", nats_url=servers.nats_url, nats_user=user, nats_password=password
    ) as one:
        await eventually(lambda: one.proxy.bus.connected)
        yield one


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The manager's API; its loops run beside it."""
    async with serving(pool, tmp_path / "manager") as running_api:
        yield running_api


async def test_weights_set_by_the_api_are_the_split_that_is_seen(
    servers: EmbeddedServers, pool: Pool, proxy: AppProxyWorld, api: ManagerApi
) -> None:
    async with AsyncExitStack() as stack:
        some = await stack.enter_async_context(fleet(4))
        world = await stack.enter_async_context(manager_world(pool, servers))
        agent = await world.agent()
        agent.ports = _PortsOf(some)
        await stack.enter_async_context(agent.alive())
        await world.manager()
        body: dict[str, Any] = {
            "name": "chat",
            "runtime": "cmd",
            "image": "any",
            "replicas": 4,
            "open_to_public": True,
            "balance": {"policy": "round-robin"},
            "slots": {"cpu": "1", "mem": "64m"},
        }
        await api.admin.call("POST", "/v1/services", body)

        def weights() -> dict[int, int]:
            entry = proxy.proxy.tables.by_name("chat")
            assert entry is not None
            return {r.port: r.weight for r in entry.table.routes if r.health == "healthy"}

        await eventually(lambda: len(weights()) == 4)
        shown = (await api.admin.service("chat"))["replica_list"]
        wanted = dict(zip(sorted(replica["id"] for replica in shown), (3, 1, 1, 0), strict=True))
        ports = {replica["id"]: int(replica["address"].rpartition(":")[2]) for replica in shown}
        for replica, weight in wanted.items():
            await api.admin.call("PUT", f"/v1/services/chat/replicas/{replica}/weight", {"weight": weight})
        by_port = {ports[replica]: weight for replica, weight in wanted.items()}
        await eventually(lambda: weights() == by_port)
        for _ in range(500):
            assert (await proxy.http.post(f"{proxy.url}/chat/")).status_code == 200
        seen = {replica.port: len(replica.seen) for replica in some.replicas.values()}
        assert seen == {port: weight * 100 for port, weight in by_port.items()}
        assert Counter(seen.values()) == {300: 1, 100: 2, 0: 1}
