"""Rows that a scaling request reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from headrace.common.contracts.ids import ProjectId, RuleId, ServiceId, new_uuid
from headrace.common.contracts.messages.scaling import ScaleRequest
from headrace.common.contracts.slots import read_slots
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records import Goal

SQL = Queries.beside(__file__)


@dataclass(frozen=True)
class Scalable:
    """A service as scaling sees it, its row locked."""

    name: str
    wanted: int
    goal: Goal
    project_id: ProjectId
    project: str
    quota: dict[str, Decimal] | None
    slots: dict[str, Decimal]
    rule_exists: bool


async def lock(con: Connection, service_id: ServiceId, rule_id: RuleId) -> Scalable | None:
    """Lock the service's row until the transaction ends. None when there is no such service."""
    row = await con.fetchrow(SQL.lock_service, service_id, rule_id)
    if row is None:
        return None
    quota = read_slots(row["quota"]) if row["quota"] is not None else None
    return Scalable(**{**row, "quota": quota, "slots": read_slots(row["slots"] or {})})


async def used(con: Connection, project_id: ProjectId, *, besides: ServiceId) -> dict[str, Decimal]:
    """Return what the project holds without `besides`."""
    return {row["slot"]: row["amount"] for row in await con.fetch(SQL.used_slots, project_id, besides)}


async def record(con: Connection, request: ScaleRequest, project_id: ProjectId) -> None:
    """Set the wanted replicas; write the decision and the history."""
    await con.execute(SQL.set_wanted, request.service_id, request.wanted)
    await con.execute(
        SQL.add_decision, new_uuid(), request.service_id, "rule", request.rule_id, request.from_wanted, request.wanted, request.observed,
        request.reason.code, request.reason.text,
    )  # fmt: skip
    details = {
        "from": request.from_wanted,
        "to": request.wanted,
        "rule_id": str(request.rule_id),
        "observed": request.observed,
    }
    await con.execute(
        SQL.add_event,
        new_uuid(),
        "autoscaler",
        project_id,
        request.service_id,
        "service.scaled",
        request.reason.text,
        details,
    )
