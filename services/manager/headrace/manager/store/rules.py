"""Queries: autoscaling rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headrace.common.contracts import stored
from headrace.common.contracts.ids import ServiceId, UserId, new_uuid
from headrace.common.contracts.rule import RuleSpec
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.rules import Rule

SQL = Queries.beside(__file__)


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(row["id"], stored.read(RuleSpec, row["spec"]), row["created_at"])


async def insert(con: Connection, service_id: ServiceId, spec: RuleSpec, user_id: UserId) -> Rule:
    """Insert a rule."""
    row = await con.fetchrow(SQL.insert, new_uuid(), service_id, spec.model_dump(mode="json"), user_id)
    return _rule(row)


async def page(con: Connection, service_id: ServiceId, *, after: UUID, limit: int) -> list[Rule]:
    """Return a page of the service's rules."""
    return [_rule(row) for row in await con.fetch(SQL.page, service_id, after, limit)]


async def replace(con: Connection, service_id: ServiceId, rule_id: UUID, spec: RuleSpec) -> Rule | None:
    """Replace the rule; None when the service has no such rule."""
    row = await con.fetchrow(SQL.replace, service_id, rule_id, spec.model_dump(mode="json"))
    return _rule(row) if row else None


async def hold(con: Connection, service_id: ServiceId, rule_id: UUID) -> Rule | None:
    """Lock the rule until the transaction ends and return it; None when the service has no such rule."""
    row = await con.fetchrow(SQL.hold, service_id, rule_id)
    return _rule(row) if row else None


async def delete(con: Connection, service_id: ServiceId, rule_id: UUID) -> bool:
    """Delete it; False when the service has no such rule."""
    return await con.fetchval(SQL.delete, service_id, rule_id) is not None


async def count(con: Connection, service_id: ServiceId) -> int:
    """Return the number of its rules."""
    return int(await con.fetchval(SQL.count, service_id))
