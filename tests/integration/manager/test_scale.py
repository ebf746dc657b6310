"""What the manager asks of the database grows with what it asks for: blocks are counted, not seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from headrace.common.db.pool import Connection, Pool
from headrace.manager.store import services
from tests.support import many_rows


async def blocks(con: Connection, statement: str, *arguments: Any) -> int:
    """Return how many blocks the statement touches."""
    plan = await con.fetchval(f"explain (analyze, buffers, format json) {statement}", *arguments)
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def assert_linear(costs: Sequence[int], what: str) -> None:
    """Each cost is of twice as much as the one before."""
    for few, many in itertools.pairwise(costs):
        assert many < 2.5 * few, f"{what}: twice as much touched {costs} blocks"


async def test_listing_replicas_is_linear_in_those_that_are_shown_without_statistics(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 10)
    costs = []
    async with pool.acquire() as con:
        ids = [row["id"] for row in await pool.fetch("select id from services")]
        for each in (20, 20, 40):  # 200, 400, 800 in all
            await many_rows.sessions(pool, whose, each=each)
            costs.append(await blocks(con, services.SQL.replicas, ids))
    assert_linear(costs, "replicas")


async def test_showing_one_service_costs_the_same_however_many_sessions_ended(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 10)
    await many_rows.sessions(pool, whose, each=5)
    async with pool.acquire() as con:
        ids = [await pool.fetchval("select id from services limit 1")]
        before = await blocks(con, services.SQL.replicas, ids)
        await many_rows.sessions(pool, whose, each=300, ended_days_ago=1)
        after = await blocks(con, services.SQL.replicas, ids)
    assert after < 2 * before + 50, (before, after)
