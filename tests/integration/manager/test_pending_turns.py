"""The pending sessions that one pass looks at: nobody fills its limit for the others, and a bad row costs itself."""

from __future__ import annotations

from uuid import UUID

import pytest

from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.runtime.clock import utc_now
from headrace.manager.loops.placement import PlacementLoop
from headrace.manager.metrics import SKIPPED_ROWS
from headrace.manager.store import sessions
from tests.support import many_rows
from tests.support.worlds.manager import ManagerWorld


async def _wait(world: ManagerWorld, service: ServiceId, count: int) -> list[UUID]:
    """Make `count` pending sessions of the service."""
    ids = sorted(new_uuid() for _ in range(count))
    await world.pool.executemany(
        "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, created_by) "
        "select $1, 'inference', project_id, id, revision_id, 'default', created_by from services where id = $2",
        [(session, service) for session in ids],
    )
    return ids


async def test_projects_and_in_them_services_take_turns(world: ManagerWorld) -> None:
    first = await _wait(world, await world.service("huge"), 20)
    [sibling] = await _wait(world, await world.service("sibling"), 1)
    world.project = ProjectId(new_uuid())
    await world.pool.execute("insert into projects (id, name) values ($1, 'other')", world.project)
    others = await _wait(world, await world.service("other"), 3)
    async with world.pool.acquire() as con:
        few = [request.id for request in (await sessions.pending(con, 4)).requests]
        everything = [request.id for request in (await sessions.pending(con, 100)).requests]
    assert few == sorted([first[0], sibling, *others[:2]])
    assert everything == sorted([*first, sibling, *others])


async def _placed(world: ManagerWorld) -> dict[UUID, tuple[str, str, str]]:
    """Run one placement pass; return status, reason code and text of each session."""
    await PlacementLoop(world.pool, utc_now, lambda *_: None).one_pass()
    rows = await world.pool.fetch("select id, status, reason_code, reason_text from sessions")
    return {row["id"]: (row["status"], row["reason_code"], row["reason_text"]) for row in rows}


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ("{}", "TypeError: it has no slots"),
        ('{"slots": ["cpu"]}', "TypeError: it has no slots"),
        ('{"slots": {}, "architecture": ["x86_64"]}', "TypeError: architecture is not a text"),
    ],
)
async def test_a_session_whose_spec_cannot_be_read_says_so_and_the_others_are_placed(
    world: ManagerWorld, stored: str, why: str
) -> None:
    await many_rows.machines(world.pool, 1)
    bad_service, good_service = await world.service("bad"), await world.service("good")
    await world.pool.execute(f"update revisions set resolved = '{stored}' where service_id = $1", bad_service)
    [bad], [good] = await _wait(world, bad_service, 1), await _wait(world, good_service, 1)
    before = SKIPPED_ROWS.labels("placement")._value.get()
    found = await _placed(world)
    assert found[good][0] == "placed"
    assert found[bad] == ("pending", "not-placeable", f"it cannot be placed with what is stored: {why}")
    assert SKIPPED_ROWS.labels("placement")._value.get() == before + 1


@pytest.mark.parametrize("machine", ["{}", '{"runtime": "process", "gpus": [1]}', '{"runtime": ["process"]}', "[]"])
async def test_a_machine_that_cannot_be_read_gets_nothing_and_the_others_do(world: ManagerWorld, machine: str) -> None:
    await many_rows.machines(world.pool, 2)
    await world.pool.execute(f"update agents set machine = '{machine}' where id = 'm-1'")
    ids = await _wait(world, await world.service("s"), 3)
    before = SKIPPED_ROWS.labels("placement")._value.get()
    found = await _placed(world)
    assert {found[session] for session in ids} == {("placed", "placed", "placed on m-2")}
    assert SKIPPED_ROWS.labels("placement")._value.get() == before + 1


async def test_a_machine_that_the_database_cannot_count_costs_what_would_go_there(world: ManagerWorld) -> None:
    await many_rows.machines(world.pool, 1)
    await world.pool.execute('update agents set slots = slots || \'{"mem": "64g"}\'')
    service = await world.service("s", slots={"cpu": "1", "mem": "1024"})
    [waits] = await _wait(world, service, 1)
    await world.pool.execute("insert into kernels (id, session_id) values ($1, $2)", new_uuid(), waits)
    status, code, text = (await _placed(world))[waits]
    assert (status, code) == ("pending", "not-placeable")
    assert text.startswith("it cannot be placed on m-1 with what is stored: InvalidTextRepresentationError")
