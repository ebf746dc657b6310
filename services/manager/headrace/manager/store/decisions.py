"""Queries: scale decisions, one per change of the wanted replicas by a user or a rule."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.ids import RuleId, ServiceId, new_uuid
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.decisions import CoolingRule, ScaleDecision

SQL = Queries.beside(__file__)


async def page(con: Connection, service_id: ServiceId, *, before: UUID | None, limit: int) -> list[ScaleDecision]:
    """Return a page of scale decisions, newest first."""
    return [ScaleDecision(**row) for row in await con.fetch(SQL.page, service_id, before, limit)]


async def cooling(con: Connection, service_id: ServiceId, rule_id: RuleId, *, scale_in: bool) -> CoolingRule | None:
    """Return the rule whose cooldown forbids a firing of this one now; None if none does."""
    row = await con.fetchrow(SQL.cooling, service_id, rule_id, scale_in)
    return None if row is None else CoolingRule(**row)


async def insert(
    con: Connection,
    service_id: ServiceId,
    before: int,
    after: int,
    reason: Reason,
    rule_id: RuleId | None = None,
    observed: float | None = None,
) -> None:
    """Insert a scale decision if the number changed: by a rule, which saw `observed`, or without one by a user."""
    if before == after:
        return
    source = "user" if rule_id is None else "rule"
    await con.execute(
        SQL.insert, new_uuid(), service_id, source, rule_id, before, after, observed, reason.code, reason.text
    )
