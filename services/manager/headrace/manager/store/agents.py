"""Queries: machines, for operators (read only; the inbox writes)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headrace.common.contracts.messages.reports import Gpu, KernelReport
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.agents import Agent

M = TypeVar("M", bound=BaseModel)
_MAX_SLOT_NAMES = 256
_COLUMNS = frozenset(Agent.__dataclass_fields__) - {"gpus"}
SQL = Queries.beside(__file__)


def _agent(row: Mapping[str, Any]) -> Agent:
    machine = row["machine"]
    given = {name: row[name] for name in _COLUMNS}
    addresses = None if row["addresses"] is None else tuple(row["addresses"])
    gpus, kernels = _readable(Gpu, machine.get("gpus")), _readable(KernelReport, row["kernels"])
    return Agent(**{**given, "addresses": addresses, "gpus": gpus, "kernels": kernels})


def _readable(model: type[M], told: object) -> tuple[M, ...]:
    """Parse what can be parsed of a report: an invalid entry is left out."""
    found = []
    for item in told if isinstance(told, list) else ():
        with suppress(ValidationError):
            found.append(model.model_validate(item))
    return tuple(found)


async def slot_names(con: Connection) -> list[str]:
    """Return the slot names of live machines, 256 at most."""
    return [row["name"] for row in await con.fetch(SQL.slot_names, _MAX_SLOT_NAMES)]


async def page(con: Connection, *, after: str, limit: int) -> list[Agent]:
    """Return a page of machines, by id."""
    return [_agent(row) for row in await con.fetch(SQL.page, after, None, limit)]


async def one(con: Connection, agent_id: str) -> Agent | None:
    """Return one machine."""
    row = await con.fetchrow(SQL.page, "", agent_id, 1)
    return _agent(row) if row else None
