"""Queries: trial runs (sessions without a service)."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.ids import ProjectId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.validations import TrialRun
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


async def find(con: Connection, session_id: UUID, actor: Actor) -> TrialRun | None:
    """Return the trial run, if the caller may see it."""
    row = await con.fetchrow(SQL.find, session_id, *rows.visibility(actor))
    return TrialRun(**row) if row else None


async def living(con: Connection, project_id: ProjectId) -> int:
    """Return the number of the project's trial runs that have not ended."""
    return int(await con.fetchval(SQL.living, project_id))
