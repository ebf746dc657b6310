"""Machines as operators see them (read only; the reports loop writes)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headrace.common.contracts import stored
from headrace.common.contracts.http.agents import AgentDetail
from headrace.common.contracts.messages.reports import Gpu, KernelReport
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

M = TypeVar("M", bound=BaseModel)
_MOST_SLOT_NAMES = 256
SQL = Queries.beside(__file__)


def _detail(row: Mapping[str, Any]) -> AgentDetail:
    machine = row["machine"]
    told = {name: str(machine.get(name, "")) for name in ("hostname", "address", "runtime", "version")}
    values = {
        **told,
        "id": row["id"],
        "status": "alive" if row["lost_at"] is None else "lost",
        "resource_group": row["resource_group"],
        "architecture": row["architecture"],
        "slots": row["slots"],
        "allocated": row["allocated"],
        "last_seen_at": row["last_seen_at"],
        "plan_generation": row["plan_generation"],
        "plan_problem": row["plan_problem"],
        "applied_generation": row["applied_generation"],
        "gpus": _readable(Gpu, machine.get("gpus")),
        "kernels": _readable(KernelReport, row["kernels"]),
        "isolation": machine.get("isolation"),
        "disk": machine.get("disk"),
        "engine_disk": machine.get("engine_disk"),
        "addresses": row["addresses"],
        "address_problem": row["address_problem"],
    }
    return stored.read(AgentDetail, values, isolation=None, disk=None, engine_disk=None, plan_problem=None)


def _readable(model: type[M], told: object) -> tuple[M, ...]:
    """Return what can be read of a report: one wrong entry costs itself."""
    found = []
    for item in told if isinstance(told, list) else ():
        with suppress(ValidationError):
            found.append(model.model_validate(item))
    return tuple(found)


async def slot_names(con: Connection) -> list[str]:
    """Return the names of the slots that living machines have, 256 at most."""
    return [row["name"] for row in await con.fetch(SQL.slot_names, _MOST_SLOT_NAMES)]


async def page(con: Connection, *, after: str, limit: int) -> list[AgentDetail]:
    """Return a page of machines, by id."""
    return [_detail(row) for row in await con.fetch(SQL.page, after, None, limit)]


async def one(con: Connection, agent_id: str) -> AgentDetail | None:
    """Return one machine."""
    row = await con.fetchrow(SQL.page, "", agent_id, 1)
    return _detail(row) if row else None
