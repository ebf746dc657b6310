"""Queries: parts of the installation, as they report, and the database itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.reports import Disk
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.instances import DatabaseState, Instance, Machines, MachineState

M = TypeVar("M", bound=BaseModel)
SQL = Queries.beside(__file__)


async def seen(con: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store what was heard of processes; `age_s` says how long ago."""
    await con.execute(SQL.seen, list(rows))


async def forget(con: Connection, older_than: timedelta, most: int) -> None:
    """Delete the rows of processes that were last heard of longer ago, and those beyond the newest `most`."""
    await con.execute(SQL.forget, older_than, most)


async def every(con: Connection, most: int) -> list[Instance]:
    """Return the processes that are remembered."""
    return [Instance(**row) for row in await con.fetch(SQL.all, most)]


async def machines(con: Connection, most: int) -> Machines:
    """Return machines, those in trouble first, and how many there are."""
    rows = await con.fetch(SQL.machines, most)
    if not rows:
        return Machines((), 0, 0)
    return Machines(tuple(_machine(row) for row in rows), rows[0]["total"], rows[0]["lost"])


async def ping(con: Connection) -> None:
    """Ask for nothing: how long it takes is the database's latency."""
    await con.fetchval(SQL.ping)


async def database(con: Connection) -> DatabaseState:
    """Return what the database tells of itself."""
    row = await con.fetchrow(SQL.database)
    assert row is not None  # noqa: S101 - it has one row
    return DatabaseState(**row)


def _machine(row: Mapping[str, Any]) -> MachineState:
    told = {name: value for name, value in row.items() if name not in {"total", "lost"}}
    read = {
        "disk": _readable(Disk, told["disk"]),
        "engine_disk": _readable(Disk, told["engine_disk"]),
        "instance": _readable(ServiceInstance, told["instance"]),
    }
    return MachineState(**{**told, **read})


def _readable(model: type[M], told: object) -> M | None:
    """Parse what a machine told; what is invalid counts as not told."""
    try:
        return None if told is None else model.model_validate(told)
    except ValidationError:
        return None
