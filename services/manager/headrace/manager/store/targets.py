"""Queries: what Prometheus scrapes."""

from __future__ import annotations

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.targets import AgentTarget, ReplicaTarget

SQL = Queries.beside(__file__)


async def agents(con: Connection, most: int) -> list[AgentTarget]:
    """Return machines whose admin pages can be reached, by id."""
    return [AgentTarget(**row) for row in await con.fetch(SQL.agents, most)]


async def replicas(con: Connection, most: int) -> list[ReplicaTarget]:
    """Return running replicas of services, the oldest first."""
    return [ReplicaTarget(**row) for row in await con.fetch(SQL.replicas, most)]
