"""What somebody with an agent's credentials can do besides its own work: lie about that machine, and nothing else.

What the bus' permissions deny is in tests/integration/install/test_joining.py; docs/isolation.md lists all claims.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.messages.folder_access import FolderAccess, FolderAccessRequest
from headrace.common.contracts.messages.reports import MAX_KERNELS, NodeReport
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.store.tables import Rules
from tests.integration.manager.test_reports import report, shown_kernels
from tests.support import many_rows
from tests.support.api import Api
from tests.support.factories.rules import spec
from tests.support.wait import eventually
from tests.support.worlds.joining import Joinable, joinable


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    async with joinable(pool, tmp_path) as world:
        yield world


@pytest.fixture
async def stolen(there: Joinable) -> AsyncIterator[Bus]:
    """The bus, by the identity of gpu-7."""
    bus = Bus()
    await bus.open(await there.joined("gpu-7"), timeout_s=60)
    yield bus
    await bus.close()


def refused(why: str) -> float:
    found = REGISTRY.get_sample_value("headrace_bus_refused_total", {"message": "NodeReport", "reason": why})
    return found or 0.0


async def tell(bus: Bus, said: NodeReport | bytes) -> None:
    """Publish on the only subject of reports that gpu-7 may publish on."""
    data = said if isinstance(said, bytes) else said.encode()
    await bus.client.publish("report.agent.gpu-7", data)
    await bus.flush()


async def listed(there: Joinable) -> list[str]:
    return [one["id"] for one in (await there.admin.call("GET", "/v1/agents"))["items"]]


async def test_a_report_for_another_machine_is_dropped_and_counted(there: Joinable, stolen: Bus) -> None:
    before = refused("foreign")
    await tell(stolen, report("gpu-8", 1, utc_now()))
    await tell(stolen, report("gpu-7", 1, utc_now()))

    async def heard() -> bool:
        return await listed(there) == ["gpu-7"]

    await eventually(heard)
    assert refused("foreign") == before + 1


async def test_what_it_says_of_replicas_on_other_machines_changes_nothing_and_is_counted(
    there: Joinable, stolen: Bus
) -> None:
    whose = await many_rows.owner(there.pool)
    await many_rows.services(there.pool, whose, 1)
    await many_rows.machines(there.pool, 1)
    await many_rows.sessions(there.pool, whose, machines=1)
    kernels = "select k.*, x.status, x.health as session_health from kernels k join sessions x on x.id = k.session_id"
    ((_, theirs),) = (await shown_kernels(there.pool, state="exited", health="unhealthy", host="gpu-7.lan")).items()
    before, count = [dict(row) for row in await there.pool.fetch(kernels)], refused("foreign-kernel")
    await tell(stolen, report("gpu-7", 1, utc_now(), theirs))
    await eventually(lambda: refused("foreign-kernel") == count + 1)
    assert [dict(row) for row in await there.pool.fetch(kernels)] == before


@pytest.mark.parametrize(
    "long",
    [
        {"incarnation": "x" * 10_000},
        {"machine": {"hostname": "x" * 10_000}},
        {"machine": {"version": "x" * 10_000}},
        {"machine": {"address": "x" * 10_000}},
        {"machine": {"isolation": {"level": "none", "text": "x" * 10_000}}},
        {"machine": {"plan_key": "x" * 10_000}},
        {"machine": {"gpus": [{"gpu_id": f"g{n}", "index": n, "model": "m", "memory_bytes": 1} for n in range(300)]}},
        {"kernels": MAX_KERNELS + 1},
    ],
    ids=["incarnation", "hostname", "version", "address", "isolation", "plan key", "GPUs", "kernels"],
)
async def test_nothing_unbounded_is_stored(there: Joinable, stolen: Bus, long: dict[str, object]) -> None:
    said = report("gpu-7", 1, utc_now()).model_dump(mode="json")
    for name, value in long.items():
        if isinstance(value, dict):
            said[name] |= value
        elif name == "kernels":
            ids = dict.fromkeys(("kernel_id", "session_id", "service_id"), "00000000-0000-0000-0000-000000000001")
            one = {**ids, "state": "running", "health": "healthy", "reason": {"code": "x", "text": ""}}
            said[name] = [one] * int(str(value))
        else:
            said[name] = value
    before = refused("malformed")
    await tell(stolen, json.dumps(said).encode())
    await eventually(lambda: refused("malformed") == before + 1)
    assert await listed(there) == []


async def test_what_it_gets_for_folders_opens_nothing_else(there: Joinable, stolen: Bus) -> None:
    await tell(stolen, report("gpu-7", 1, utc_now()))

    async def granted() -> str:
        return (await ask(stolen, FolderAccessRequest(agent_id="gpu-7"), FolderAccess)).token

    token = await eventually(granted)
    stranger = Api(there.url, token)
    for method, path in (
        ("GET", "/v1/agents"),
        ("GET", "/v1/services"),
        ("DELETE", "/v1/identities/gpu-8"),
        ("POST", "/v1/join-tokens"),
        ("DELETE", "/v1/agents/gpu-8"),
    ):
        await stranger.call(method, path, expect=401)
    await stranger.close()


async def test_rule_tables_say_on_which_machine_each_kernel_is(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.machines(pool, 2)
    await many_rows.sessions(pool, whose, each=2, machines=2)
    await pool.execute(
        "insert into rules (id, service_id, spec, created_by) select gen_random_uuid(), id, $1, created_by from services",
        spec().model_dump(mode="json"),
    )
    async with pool.acquire() as con:
        (pending,) = await Rules().read(con, [str(await con.fetchval("select id from services"))])
    told = {
        kernel: machine
        for replica in pending.build().replicas
        for kernel, machine in zip(replica.kernel_ids, replica.agent_ids, strict=True)
    }
    assert told == {row["id"]: row["agent_id"] for row in await pool.fetch("select id, agent_id from kernels")}
    assert sorted(told.values()) == ["m-1", "m-2"]
