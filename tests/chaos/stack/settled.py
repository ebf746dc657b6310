"""Checks that a stack has converged: by API, route tables, processes and database. Each returns the deviations as text."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.chaos.stack.fleet import AGENTS, RULED, Fleet
from tests.chaos.stack.processes import replicas_of

_CONTRADICTIONS = {
    "allocations of kernels that are over": """
        select a.kernel_id, a.agent_id, a.slot from allocations a join kernels k on k.id = a.kernel_id
        join sessions s on s.id = k.session_id where k.ended_at is not null or s.status = 'ended'""",
    "machines that hold more than they have": """
        select a.agent_id, a.slot, sum(a.amount) from allocations a join agents m on m.id = a.agent_id where a.device = ''
        group by a.agent_id, a.slot, m.slots having sum(a.amount) > coalesce((m.slots ->> a.slot)::numeric, 0)""",
    "GPUs that are held more than once": """
        select agent_id, device, sum(amount) from allocations where device <> '' group by agent_id, device having sum(amount) > 1""",
    "sessions with several living main kernels": """
        select session_id, count(*) from kernels where ended_at is null and role = 'main' group by session_id having count(*) > 1""",
    "living kernels of sessions that ended": """
        select k.id from kernels k join sessions s on s.id = k.session_id where k.ended_at is null and s.status = 'ended'""",
    "placed sessions without a kernel on a machine": """
        select s.id, s.status from sessions s where s.status in ('placed', 'running', 'draining')
        and not exists (select 1 from kernels k where k.session_id = s.id and k.agent_id is not null and k.ended_at is null)""",
    "placed kernels without allocations": """
        select k.id from kernels k join sessions s on s.id = k.session_id where s.status in ('placed', 'running')
        and k.ended_at is null and not exists (select 1 from allocations a where a.kernel_id = k.id)""",
    "living sessions of deleted services": """
        select s.id from sessions s join services v on v.id = s.service_id where v.deleted_at is not null and s.status <> 'ended'""",
}
"""Each must find nothing, at every moment at which nothing is under way."""


async def unsettled(fleet: Fleet, *, ruled: bool) -> list[str]:
    """Return deviations from the desired state; with `ruled` also of services whose wanted number follows the load."""
    try:
        listed = (await fleet.stack.api.http.get("/v1/services?limit=100", timeout=10)).json()["items"]
        names = [one["name"] for one in listed if ruled or one["name"] not in RULED]
        details = [(await fleet.stack.api.http.get(f"/v1/services/{name}", timeout=10)).json() for name in names]
        agents = [(await fleet.stack.api.http.get(f"/v1/agents/{name}", timeout=10)).json() for name in AGENTS]
        async with httpx.AsyncClient(verify=False, timeout=10) as http:
            page = (await http.get(f"http://127.0.0.1:{fleet.admin_port('appproxy')}/routes")).json()["services"]
            asked = {name: await http.get(url) for name, url in fleet.ready_urls().items()}
            not_ready = [
                f"{name} is not ready: {answer.text[:300]}" for name, answer in asked.items() if answer.is_error
            ]
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return [f"nobody can say: {type(error).__name__} {error}"]
    tables = {one["name"]: one for one in page}
    running = _running(fleet.data)
    details = [one for one in details if one.get("status") != 404]  # deleted while we asked
    wrong = [f"{one['id']} is {one.get('status')}" for one in agents if one.get("status") != "alive"]
    wrong += [f"{one.name} does not run" for one in fleet.state().processes if not _runs(one.pid)]
    wrong += not_ready
    for detail in details:
        wrong += [f"{detail['name']}: {what}" for what in of_service(detail, tables.get(detail["name"]), running)]
    if ruled:
        live = {row["id"] for detail in details for row in detail["replica_list"] if row["status"] != "ended"}
        wrong += [f"a program runs for {session}, which is no replica" for session in running.keys() - live]
    return wrong


def _runs(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


def of_service(detail: dict[str, Any], table: dict[str, Any] | None, running: Counter[str]) -> Iterable[str]:
    """Yield where a service is not as wanted, its route table leads elsewhere, or its replicas' programs are too many or few."""
    live = [row for row in detail["replica_list"] if row["status"] != "ended"]
    if detail["status"] != "healthy":
        yield f"is {detail['status']}: {detail['reason']['text']}"
    if len(live) != detail["replicas"]:
        yield f"has {len(live)} replicas, wants {detail['replicas']}"
    for row in live:
        if (row["status"], row["health"], row["revision"]) != ("running", "healthy", detail["revision"]):
            yield f"{row['id']} is {row['status']}, {row['health']}, of revision {row['revision']}: {row['reason']['text']}"
        if running[row["id"]] != 1:
            yield f"{row['id']} has {running[row['id']]} programs"
    routed = {route["session_id"]: route for route in table["routes"]} if table else {}
    if routed.keys() != {row["id"] for row in live}:
        yield f"the app-proxy routes to {sorted(routed)}, the replicas are {sorted(row['id'] for row in live)}"
    for route in routed.values():
        if route["health"] != "healthy" or route.get("state", "active") != "active" or route["ejected"]:
            yield f"the app-proxy passes over {route['session_id']}: {route}"


def _running(data: Path) -> Counter[str]:
    return Counter(one.session for one in replicas_of(data) if one.is_program and one.session is not None)


async def contradictions(fleet: Fleet) -> list[str]:
    """Return inconsistencies in the database."""
    con = await asyncpg.connect(_database_url(fleet), timeout=20)
    try:
        return await contradictions_in(con)
    finally:
        await con.close(timeout=10)


async def contradictions_in(con: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """Return inconsistencies in this database."""
    found = {what: await con.fetch(query, timeout=20) for what, query in _CONTRADICTIONS.items()}
    return [f"{what}: {[tuple(map(str, row)) for row in rows[:5]]}" for what, rows in found.items() if rows]


async def left_over(fleet: Fleet) -> list[str]:
    """Return leftovers after every service was deleted."""
    con = await asyncpg.connect(_database_url(fleet), timeout=20)
    try:
        held = await con.fetch("select agent_id, slot, amount from allocations", timeout=20)
        sessions = await con.fetch("select id, status from sessions where status <> 'ended'", timeout=20)
    finally:
        await con.close(timeout=10)
    wrong = [f"still allocated: {tuple(map(str, row))}" for row in held]
    wrong += [f"still a session: {tuple(map(str, row))}" for row in sessions]
    wrong += [
        f"process {one.pid} is left of {one.session}: {' '.join(one.words)[:120]}" for one in replicas_of(fleet.data)
    ]
    async with httpx.AsyncClient(verify=False, timeout=10) as http:
        page = (await http.get(f"http://127.0.0.1:{fleet.admin_port('appproxy')}/routes")).json()["services"]
    return wrong + [f"the app-proxy still has {one['name']}" for one in page]


def _database_url(fleet: Fleet) -> str:
    pid = fleet.pid("manager")
    assert pid is not None
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(
        os.fsdecode(word.partition(b"=")[2]) for word in words if word.startswith(b"HEADRACE_MANAGER_DATABASE_URL=")
    )


async def until_settled(fleet: Fleet, *, within_s: float, ruled: bool = False) -> list[str]:
    """Wait until nothing is unsettled; return the deviations left after `within_s`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while wrong := await unsettled(fleet, ruled=ruled):
        if loop.time() > until:
            return wrong
        await asyncio.sleep(0.3)
    return []
