"""The pending sessions that one pass looks at: nobody fills its limit for the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import ServiceId, new_uuid
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.store import sessions
from tests.integration.manager.world import World


@pytest.fixture
async def world(pool: Pool, bus: Bus, servers: EmbeddedServers) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World(pool, servers, stack)
        await made.prepare()
        yield made


async def _wait(world: World, service: ServiceId, count: int) -> list[UUID]:
    """Make `count` pending sessions of the service."""
    ids = sorted(new_uuid() for _ in range(count))
    await world.pool.executemany(
        "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, created_by) "
        "select $1, 'inference', project_id, id, revision_id, 'default', created_by from services where id = $2",
        [(session, service) for session in ids],
    )
    return ids


async def test_projects_and_in_them_services_take_turns(world: World) -> None:
    first = await _wait(world, await world.service("huge"), 20)
    [sibling] = await _wait(world, await world.service("sibling"), 1)
    world.project = new_uuid()
    await world.pool.execute("insert into projects (id, name) values ($1, 'other')", world.project)
    others = await _wait(world, await world.service("other"), 3)
    async with world.pool.acquire() as con:
        few = [request.id for request in (await sessions.pending(con, 4))[0]]
        everything = [request.id for request in (await sessions.pending(con, 100))[0]]
    assert few == sorted([first[0], sibling, *others[:2]])
    assert everything == sorted([*first, sibling, *others])
