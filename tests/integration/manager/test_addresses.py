"""Machines are where they first said, or where an operator says: nobody's requests go where a machine says that it is besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import KernelReport, Machine, NodeReport
from headrace.common.contracts.reasons import Reason
from headrace.common.db.migrate import MIGRATIONS
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.inbox.reports import NodeReports
from headrace.manager.loops.placement import PlacementLoop
from tests.support.worlds.manager_api import ManagerApi, serving

SPEC = {"runtime": "cmd", "image": "img", "slots": {"cpu": 1}}
LOOPBACK_TOO = AddressPolicy((ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")))


class Fleet:
    """Machines that report what a test wants."""

    def __init__(self, api: ManagerApi) -> None:
        self.api = api
        self.poked: list[str] = []
        self.nodes = NodeReports(api.pool, lambda *names: self.poked.extend(names), places=LOOPBACK_TOO)
        self._sequence = 0

    def report(self, agent: str, address: str, kernels: tuple[KernelReport, ...] = ()) -> NodeReport:
        self._sequence += 1
        return NodeReport(
            agent_id=AgentId(agent),
            incarnation="1",
            sequence=self._sequence,
            sent_at=utc_now(),
            applied_generation=1,
            kernels=kernels,
            machine=Machine(
                hostname=agent,
                architecture="x86_64",
                address=address,
                runtime="docker",
                version="1",
                slots={"cpu": "8", "mem": "8g"},
            ),
        )

    async def says(self, agent: str, address: str, *kernels: KernelReport) -> dict[str, Any]:
        await self.nodes.heard([self.report(agent, address, kernels)])
        shown: dict[str, Any] = await self.api.admin.call("GET", f"/v1/agents/{agent}")
        return shown

    async def replica(self, agent: str, service: str) -> tuple[Any, Any]:
        """A replica of the service runs on the machine; returns its kernel at an address, and how to see where it is believed."""
        session_id, kernel_id = await self.api.runs(service, agent=agent)
        service_id = await self.api.pool.fetchval("select id from services where name = $1", service)

        def kernel(host: str) -> KernelReport:
            return KernelReport(
                kernel_id=kernel_id,
                session_id=session_id,
                service_id=service_id,
                state="running",
                health="healthy",
                reason=Reason(code="healthy", text=""),
                host=host,
                port=20_001,
            )

        async def believed() -> tuple[str | None, str]:
            row = await self.api.pool.fetchrow("select host, reason_code from kernels where id = $1", kernel_id)
            return row["host"], row["reason_code"]

        return kernel, believed

    async def told(self) -> list[str]:
        return [
            row["message"]
            for row in await self.api.pool.fetch(
                "select message from events where action = 'agent.address-refused' order by id"
            )
        ]


@pytest.fixture
async def fleet(pool: Pool, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with serving(pool, tmp_path) as api:
        await api.admin.call("POST", "/v1/services", SPEC | {"name": "chat"})
        yield Fleet(api)


async def test_replicas_are_at_the_address_that_their_machine_first_had_until_an_operator_allows_another(
    fleet: Fleet,
) -> None:
    found = await fleet.says("one", "10.0.0.1")
    assert (found["addresses"], found["address_problem"]) == (["10.0.0.1"], None)
    kernel, believed = await fleet.replica("one", "chat")
    await fleet.says("one", "10.0.0.1", kernel("10.0.0.1"))
    assert await believed() == ("10.0.0.1", "healthy")
    found = await fleet.says("one", "10.0.0.2", kernel("10.0.0.2"))
    assert await believed() == (None, "address-not-allowed")
    assert found["addresses"] == ["10.0.0.1"]
    assert "it says that it is at 10.0.0.2; allowed: 10.0.0.1" in found["address_problem"]
    assert await fleet.told() == [found["address_problem"]]
    found = await fleet.api.admin.call("PATCH", "/v1/agents/one", {"addresses": ["10.0.0.1", "10.0.0.2"]})
    assert (found["addresses"], found["address_problem"]) == (["10.0.0.1", "10.0.0.2"], None)
    # The same report again: though nothing is new in it, it is looked at anew.
    await fleet.says("one", "10.0.0.2", kernel("10.0.0.2"))
    assert await believed() == ("10.0.0.2", "healthy")
    await fleet.api.admin.call("PATCH", "/v1/agents/one", {"addresses": None})
    assert (await fleet.says("one", "10.0.0.3"))["addresses"] == ["10.0.0.3"]


async def test_a_machine_cannot_be_at_anothers_address_unless_an_operator_says_so(fleet: Fleet) -> None:
    await fleet.says("victim", "10.0.0.1")
    for spelling in ("10.0.0.1", "::ffff:10.0.0.1"):
        found = await fleet.says("thief", spelling)
        assert found["addresses"] is None
        assert "which is the address of agent victim" in found["address_problem"]
    kernel, believed = await fleet.replica("thief", "chat")
    await fleet.says("thief", "10.0.0.1", kernel("10.0.0.1"))
    assert await believed() == (None, "address-not-allowed")
    assert (await fleet.says("victim", "10.0.0.1"))["address_problem"] is None
    await fleet.api.admin.call("PATCH", "/v1/agents/thief", {"addresses": ["10.0.0.1"]})
    assert (await fleet.says("thief", "10.0.0.1", kernel("10.0.0.1")))["address_problem"] is None
    assert await believed() == ("10.0.0.1", "healthy")


async def test_of_machines_that_come_at_once_with_one_address_one_has_it(fleet: Fleet) -> None:
    other = NodeReports(fleet.api.pool, lambda *_: None, places=LOOPBACK_TOO)
    await asyncio.gather(
        fleet.nodes.heard([fleet.report(f"a{n}", "10.0.0.1") for n in range(5)]),
        other.heard([fleet.report(f"b{n}", "10.0.0.1") for n in range(5)]),
    )
    found = (await fleet.api.admin.call("GET", "/v1/agents"))["items"]
    assert len(found) == 10
    (owner,) = [agent["id"] for agent in found if agent["addresses"] == ["10.0.0.1"]]
    for agent in found:
        if agent["id"] != owner:
            assert f"which is the address of agent {owner}" in agent["address_problem"]


async def test_agents_of_one_machine_share_its_loopback_where_the_operator_names_it(fleet: Fleet) -> None:
    for agent in ("one", "two"):
        found = await fleet.says(agent, "127.0.0.1")
        assert (found["addresses"], found["address_problem"]) == (["127.0.0.1"], None)


async def test_an_address_where_no_machine_may_be_is_not_kept(fleet: Fleet) -> None:
    found = await fleet.says("one", "192.168.0.1")
    assert found["addresses"] is None
    assert "allowed (replica_networks): 127.0.0.0/8, 10.0.0.0/8" in found["address_problem"]
    assert (await fleet.says("one", "10.0.0.1"))["addresses"] == ["10.0.0.1"]
    refused = await fleet.api.admin.call("PATCH", "/v1/agents/one", {"addresses": ["127.0.0.1"]}, expect=400)
    assert [row["field"] for row in refused["errors"]] == ["addresses[0]"]
    wrong = await fleet.api.admin.call("PATCH", "/v1/agents/one", {"addresses": ["a b"]}, expect=400)
    assert [row["field"] for row in wrong["errors"]] == ["addresses[0]"], "and not that there is no item"
    twice = await fleet.api.admin.call(
        "PATCH", "/v1/agents/one", {"addresses": ["10.0.0.1", "::ffff:10.0.0.1"]}, expect=400
    )
    assert (twice["errors"][0]["found"], twice["errors"][0]["allowed"]) == ("10.0.0.1", "each address once")
    for wrong in (["10.0.0.256"], ["a b"], [""], [], ["x"] * 17, [7]):
        await fleet.api.admin.call("PATCH", "/v1/agents/one", {"addresses": wrong}, expect=400)
    await fleet.api.admin.call("PATCH", "/v1/agents/absent", {"addresses": ["10.0.0.1"]}, expect=404)


async def test_a_machine_that_changes_its_address_all_the_time_is_told_of_once_an_hour(fleet: Fleet) -> None:
    await fleet.says("one", "10.0.0.1")
    for number in range(20):
        await fleet.says("one", f"10.0.1.{number}")
        await fleet.says("one", "10.0.0.1")
    assert len(await fleet.told()) == 1
    await fleet.api.pool.execute(
        "update agents set address_told_at = now() - $1::interval", timedelta(hours=1, seconds=1)
    )
    await fleet.says("one", "10.0.1.99")
    assert len(await fleet.told()) == 2


async def test_no_replica_is_placed_on_a_machine_that_is_not_where_it_may_be(fleet: Fleet) -> None:
    pool = fleet.api.pool
    await fleet.says("one", "10.0.0.1")
    await fleet.says("one", "10.0.0.2")
    await pool.execute(
        "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, status)"
        " select gen_random_uuid(), 'inference', project_id, id, revision_id, resource_group, 'pending' from services"
    )
    await pool.execute(
        "insert into kernels (id, session_id, state, health, reason_code, reason_text)"
        " select gen_random_uuid(), id, 'preparing', 'degraded', 'x', 'x' from sessions"
    )
    placing = PlacementLoop(pool, utc_now, lambda *_: None)
    await placing.one_pass()
    row = await pool.fetchrow("select status, reason_code, reason_text from sessions")
    assert (row["status"], row["reason_code"]) == ("pending", "address-not-allowed")
    assert "1 say that they are at an address that is not allowed" in row["reason_text"]
    fleet.poked.clear()
    await fleet.says("one", "10.0.0.1")
    assert "placement" in fleet.poked
    await placing.one_pass()
    assert await pool.fetchval("select status from sessions") == "placed"


async def test_machines_that_are_there_at_the_upgrade_keep_the_address_that_they_have(fleet: Fleet) -> None:
    pool = fleet.api.pool
    said = {
        "a": "10.0.0.1",
        "b": "10.0.0.1",
        "c": "GPU-1.lan.",
        "d": "127.0.0.1",
        "e": "localhost",
        "f": "",
        "g": "FD00:0::1",
        "h": "fe80::1",
    }
    for agent, address in said.items():
        await fleet.nodes.heard([fleet.report(agent, address)])
    (migration,) = MIGRATIONS.glob("*_machine_addresses.sql")
    text = migration.read_text()
    await pool.execute(
        "alter table agents drop column addresses cascade, drop column address_problem, drop column address_told_at"
    )
    await pool.execute(text)
    found = {row["id"]: row["addresses"] for row in await pool.fetch("select id, addresses from agents")}
    assert found == {
        "a": ["10.0.0.1"],
        "b": ["10.0.0.1"],
        "c": ["gpu-1.lan"],
        "d": None,
        "e": None,
        "f": None,
        "g": ["fd00::1"],
        "h": None,
    }
    for agent in ("a", "b", "d"):
        assert (await fleet.says(agent, said[agent]))["address_problem"] is None
