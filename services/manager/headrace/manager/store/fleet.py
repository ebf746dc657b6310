"""Machines as operators see them (read only; the reports loop writes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.common.contracts.http.agents import AgentDetail
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)


def _detail(row: Mapping[str, Any]) -> AgentDetail:
    machine = row["machine"]
    return AgentDetail(
        id=row["id"], status="alive" if row["lost_at"] is None else "lost", resource_group=row["resource_group"],
        hostname=machine["hostname"], architecture=row["architecture"], address=machine["address"],
        runtime=machine["runtime"], version=machine["version"], slots=row["slots"], allocated=row["allocated"],
        last_seen_at=row["last_seen_at"], plan_generation=row["plan_generation"], plan_problem=row["plan_problem"],
        applied_generation=row["applied_generation"], gpus=machine.get("gpus", ()), kernels=row["kernels"],
        isolation=machine.get("isolation"), disk=machine.get("disk"),
    )  # fmt: skip


async def page(con: Connection, *, after: str, limit: int) -> list[AgentDetail]:
    """Return a page of machines, by id."""
    return [_detail(row) for row in await con.fetch(SQL.page, after, None, limit)]


async def one(con: Connection, agent_id: str) -> AgentDetail | None:
    """Return one machine."""
    row = await con.fetchrow(SQL.page, "", agent_id, 1)
    return _detail(row) if row else None
