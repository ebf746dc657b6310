"""Autoscaling rules."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.http.rules import RuleView
from headrace.common.contracts.ids import ServiceId, UserId, new_uuid
from headrace.common.contracts.rule import RuleSpec
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)


async def insert(con: Connection, service_id: ServiceId, spec: RuleSpec, user_id: UserId) -> RuleView:
    """Keep a new rule."""
    row = await con.fetchrow(SQL.insert, new_uuid(), service_id, spec.model_dump(mode="json"), user_id)
    return RuleView(**row)


async def page(con: Connection, service_id: ServiceId, *, after: UUID, limit: int) -> list[RuleView]:
    """Return a page of the service's rules."""
    return [RuleView(**row) for row in await con.fetch(SQL.page, service_id, after, limit)]


async def replace(con: Connection, service_id: ServiceId, rule_id: UUID, spec: RuleSpec) -> RuleView | None:
    """Write the rule anew; None when the service has no such rule."""
    row = await con.fetchrow(SQL.replace, service_id, rule_id, spec.model_dump(mode="json"))
    return RuleView(**row) if row else None


async def hold(con: Connection, service_id: ServiceId, rule_id: UUID) -> RuleView | None:
    """Return the rule, and keep others from changing it until the transaction ends; None when the service has no such rule."""
    row = await con.fetchrow(SQL.hold, service_id, rule_id)
    return RuleView(**row) if row else None


async def delete(con: Connection, service_id: ServiceId, rule_id: UUID) -> bool:
    """Remove it; False when the service has no such rule."""
    return await con.fetchval(SQL.delete, service_id, rule_id) is not None


async def count(con: Connection, service_id: ServiceId) -> int:
    """Return how many rules it has."""
    return int(await con.fetchval(SQL.count, service_id))
