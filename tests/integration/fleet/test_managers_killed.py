"""Two managers are killed in turn while rollouts go on: callers notice nothing, and every rollout ends in a state that is right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import groupby, product
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import subscribed
from headrace.common.contracts.messages.reports import NodeReport
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.chaos.processes import ProxyProcess, app_proxy
from tests.integration.fleet.conftest import machine_running
from tests.integration.fleet.managers import WATCH, Killer, Manager, two_managers
from tests.support.api import Api
from tests.support.load import Load
from tests.support.wait import eventually

pytestmark = pytest.mark.timeout(300)
SEED = 11
MOMENTS = tuple(product(("inside", "after"), ("pending", "placed", "running", "draining", "stopping", "ended")))
"""A manager is killed at each: in the transaction that brings a replica into the status, and just after its commit."""
WANTED = 2
MOST = WANTED + 1
"""A rollout has one more at most."""
PROGRAM = """
import os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
if "BROKEN" in os.environ:
    sys.exit(3)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""
DEFINITION = """
models:
  - name: small
    model_path: /models
    service:
      start_command: [python, /models/program.py, --port, "8000"]
      port: 8000
      health_check: {path: /, initial_delay: 0, interval: 0.3, max_wait_time: 5, max_retries: 10}
"""


@dataclass
class Fleet:
    """Two managers, two machines with a GPU each, and an app-proxy."""

    managers: tuple[Manager, Manager]
    killer: Killer
    pool: Pool
    proxy: ProxyProcess
    apis: list[Api]
    reports: dict[str, NodeReport] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: object = None, *, done: tuple[int, ...] = ()) -> Any:
        """Call a manager, or the other one when it is killed meanwhile. Only what may be asked twice; `done`: a status that says
        that the first time was enough."""

        async def tried() -> tuple[Any] | None:
            for api in self.apis:
                try:
                    answer = await api.http.request(method, path, json=body)
                except httpx.TransportError:
                    continue
                assert answer.is_success or answer.status_code in {502, 503, 504, *done}, answer.text
                if answer.is_success or answer.status_code in done:
                    return (answer.json() if answer.content else None,)
            return None

        found: tuple[Any] = await eventually(tried, every_s=0.1, what=f"{method} {path}")
        return found[0]

    async def create(self, name: str, **more: object) -> None:
        """A service with WANTED replicas, which serves."""
        body = {"name": name, "project": "default", "replicas": WANTED, "open_to_public": True, "drain_grace_s": 20}
        await self.ask("POST", "/v1/services", {**body, **spec(0), **more})
        await self.serves(name, 1)

    async def roll(self, name: str, turn: int, **more: object) -> None:
        """Ask for another revision. Asked twice it is one: it differs from the one before only the first time."""
        await self.ask("PATCH", f"/v1/services/{name}", {"spec": spec(turn, **more), "message": f"{name} {turn}"})

    async def serves(self, name: str, revision: int) -> None:
        """Wait until exactly the wanted replicas are there, of this revision, and serve."""

        async def whole() -> bool:
            rows = await self.pool.fetch(
                "select x.status, x.health, r.number from live_sessions x join services s on s.id = x.service_id"
                " join revisions r on r.id = x.revision_id where s.name = $1",
                name,
            )
            return [tuple(row) for row in rows] == [("running", "healthy", revision)] * WANTED

        await eventually(whole, within_s=120, every_s=0.05, what=f"{name} serves with revision {revision}")


def spec(turn: int, **more: object) -> dict[str, Any]:
    """A revision; `more`: in place of what all have."""
    return {"folder": "small", "slots": {"cpu": "0.1", "mem": "64m"}, "environ": {"TURN": str(turn)}, **more}


@pytest.fixture
async def fleet(
    pool: Pool, database_url: str, bus: Bus, servers: EmbeddedServers, tmp_path: Path
) -> AsyncIterator[Fleet]:
    user, password = servers.nats_user("manager")
    settings = {
        "database_url": database_url,
        "nats_url": servers.nats_url,
        "nats_user": user,
        "nats_password": password,
        "folders_root": tmp_path / "folders",
        "secret_key": bytes(range(32)).hex(),
        "replica_networks": json.dumps(["127.0.0.0/8"]),
        "replica_ports": "1024-65535",
        "reconcile_every": "PT0.5S",
        "verify_every": "PT2S",
        "lost_after": "PT2M",  # a machine that is busy is not to be one that is lost
    }
    async with AsyncExitStack() as stack:
        await pool.execute(WATCH)
        watching = await asyncpg.connect(database_url)
        stack.push_async_callback(watching.close)
        managers = await stack.enter_async_context(two_managers(tmp_path, **settings))
        for number in (1, 2):
            await stack.enter_async_context(
                machine_running(f"agent-{number}", servers, tmp_path, FOLDERS_ROOT=str(tmp_path / "folders"))
            )
        proxy = stack.enter_context(app_proxy(servers, tmp_path / "proxy", workers=1))
        key = (tmp_path / "admin.key").read_text().strip()
        apis = [Api(one.url, key) for one in managers]
        for api in apis:
            stack.push_async_callback(api.close)
        made = Fleet(managers, Killer(managers, watching), pool, proxy, apis)

        async def on_report(report: NodeReport) -> None:
            made.reports[report.agent_id] = report

        await stack.enter_async_context(subscribed(bus, NodeReport, on_report))
        await eventually(proxy.ready)
        yield made


async def test_rollouts_end_right_whenever_a_manager_is_killed(fleet: Fleet) -> None:
    await fleet.apis[0].folder("small", {"model-definition.yaml": DEFINITION, "program.py": PROGRAM})
    await fleet.create("steady")
    await fleet.create("failing", rollout={"on_failure": "roll-back"})
    await fleet.create("crowded", slots={"cpu": "0.1", "mem": "64m", "cuda.device": "1"})
    moments = list(MOMENTS)
    Random(SEED).shuffle(moments)
    killed = asyncio.Event()
    asked: list[str] = []

    async def roll_on() -> None:
        """One rollout after the other, until all moments have been."""
        while not killed.is_set():
            asked.append(f"steady {len(asked) + 1}")
            await fleet.roll("steady", len(asked))
            await fleet.serves("steady", len(asked) + 1)

    async def kill() -> None:
        for when, status in moments:
            victim = await (fleet.killer.inside if when == "inside" else fleet.killer.after)(status)
            victim.start()
            await victim.ready()
        killed.set()

    async with (
        Load(f"http://127.0.0.1:{fleet.proxy.port}/steady/", None, workers=2) as steady,
        Load(f"http://127.0.0.1:{fleet.proxy.port}/failing/", None, workers=1) as failing,
        Load(f"http://127.0.0.1:{fleet.proxy.port}/crowded/", None, workers=1) as crowded,
    ):
        loads = steady, failing, crowded
        await eventually(lambda: all(load.answers for load in loads))
        await fleet.roll("failing", 1, environ={"BROKEN": "yes"})
        await fleet.roll("crowded", 1, slots={"cpu": "0.1", "mem": "64m", "cuda.device": "1"})
        async with asyncio.TaskGroup() as group:
            group.create_task(roll_on())
            group.create_task(kill())
        await fleet.serves("crowded", 2)  # each new one had the place of an old one
        await eventually(lambda: _rolled_back(fleet), within_s=120, every_s=0.1)
        await fleet.serves("failing", 1)
        answered = [len(load.answers) for load in loads]
        await eventually(lambda: all(len(load.answers) > n for load, n in zip(loads, answered, strict=True)))
    for load in loads:
        assert load.failures == []
        assert len(load.answers) == load.sent

    for name, load in zip(("steady", "failing", "crowded"), loads, strict=True):
        await _usage_is(fleet, name, len(load.answers))
    await _numbers_were_kept(fleet)
    await _recorded_once(fleet, asked)
    await _nothing_is_left_over(fleet)
    for name in ("steady", "failing", "crowded"):
        await fleet.ask("DELETE", f"/v1/services/{name}", done=(404,))
    await eventually(lambda: _nothing_runs(fleet), every_s=0.1)
    placed = await fleet.pool.fetchval("select count(distinct session_id) from moves where status = 'placed'")
    assert await fleet.pool.fetchval("select count(*) from replica_usage where until_at > from_at") == placed


async def _rolled_back(fleet: Fleet) -> bool:
    return bool(await fleet.pool.fetchval("select count(*) from events where action = 'service.rolled-back'"))


async def _usage_is(fleet: Fleet, name: str, requests: int) -> None:
    """Wait until the usage of a service is what its callers counted."""

    async def counted() -> bool:
        (item,) = (await fleet.ask("GET", f"/v1/usage?service={name}"))["items"]
        return bool(item["requests"] == requests and item["errors"] == item["refused"] == 0)

    await eventually(counted, every_s=0.5, what=f"{name} has {requests} requests")


async def _numbers_were_kept(fleet: Fleet) -> None:
    """After each transaction: never more replicas than a rollout may have, never fewer that serve than it must leave."""
    names = {row["id"]: row["name"] for row in await fleet.pool.fetch("select id, name from services")}
    rows = await fleet.pool.fetch("select * from moves order by seq")
    assert {row["status"] for row in rows} == {status for _, status in MOMENTS}
    for service, name in names.items():
        least = WANTED - 1 if name == "crowded" else WANTED
        now: dict[UUID, tuple[str, str]] = {}
        began = False
        for _, moves in groupby((row for row in rows if row["service_id"] == service), lambda row: row["xid"]):
            for row in moves:
                now[row["session_id"]] = row["status"], row["health"]
            active = sum(status in {"pending", "placed", "running"} for status, _ in now.values())
            serving = sum(one == ("running", "healthy") for one in now.values())
            began = began or serving == WANTED
            assert active <= MOST, (name, now)
            assert serving >= least or not began, (name, now)


async def _recorded_once(fleet: Fleet, asked: list[str]) -> None:
    """Each rollout is one revision; what became of it is written down once."""
    revisions = await fleet.pool.fetch(
        "select s.name, r.number, r.message from revisions r join services s on s.id = r.service_id order by 1, 2"
    )
    assert [tuple(row) for row in revisions] == [
        *[("crowded", 1, ""), ("crowded", 2, "crowded 1"), ("failing", 1, ""), ("failing", 2, "failing 1")],
        *[("steady", number, message) for number, message in enumerate(["", *asked], 1)],
    ]
    told = await fleet.pool.fetch("select actor, message from events where action = 'service.rolled-back' order by at")
    assert [tuple(row) for row in told] == [
        (
            "headrace",
            "the rollout of revision 2 failed: 5 starts of it in a row failed; revision 1 is the current one again",
        )
    ]
    starts = await fleet.pool.fetch("select details from events where action = 'replica.start-failed' order by id")
    assert [(row["details"]["in_a_row"], row["details"]["exit_code"]) for row in starts] == [
        (n, 3) for n in range(1, 6)
    ]
    assert await fleet.pool.fetchval("select count(*) from events where action = 'replica.ended'") == 0
    for number in range(2, len(asked) + 2):
        await _complete(fleet, "steady", number)
    await _complete(fleet, "crowded", 2)


async def _complete(fleet: Fleet, name: str, revision: int) -> None:
    """Wait for the receipt of a rollout: every replica of the revision before is in it, and no request was lost."""

    async def found() -> Any:
        receipt = await fleet.ask("GET", f"/v1/services/{name}/revisions/{revision}/receipt")
        return receipt if receipt["complete"] else None

    receipt = await eventually(found, every_s=0.2, what=f"the receipt of {name} {revision} is complete")
    assert (receipt["replicas"], receipt["failed"], receipt["cut"]) == (WANTED, 0, 0), receipt
    assert receipt["started"] == receipt["finished"] + receipt["retried"], receipt


async def _nothing_is_left_over(fleet: Fleet) -> None:
    """What runs, what is held on machines, and what is wanted are the same."""

    async def same() -> bool:
        rows = await fleet.pool.fetch(
            "select k.id, k.agent_id from live_sessions x join kernels k on k.session_id = x.id where k.ended_at is null"
        )
        kernels = {(row["agent_id"], row["id"]) for row in rows}
        held = await fleet.pool.fetch("select distinct agent_id, kernel_id from allocations")
        run = {(agent, kernel.kernel_id) for agent, report in fleet.reports.items() for kernel in report.kernels}
        assert len(kernels) == 3 * WANTED, rows
        assert {(row["agent_id"], row["kernel_id"]) for row in held} == kernels
        assert run == kernels
        return True

    await eventually(same, every_s=0.1)


async def _nothing_runs(fleet: Fleet) -> bool:
    assert not await fleet.pool.fetchval("select count(*) from live_sessions")
    assert not await fleet.pool.fetchval("select count(*) from allocations")
    return not any(report.kernels for report in fleet.reports.values())
