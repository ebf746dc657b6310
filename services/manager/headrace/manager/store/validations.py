"""Trial runs: sessions without a service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, SessionId
from headrace.common.contracts.vocabulary import Role, SessionStatus
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor

SQL = Queries.beside(__file__)


@dataclass(frozen=True)
class TrialRun:
    """A validation as callers see it, and the caller's role in its project."""

    id: SessionId
    project_id: ProjectId
    project: str
    status: SessionStatus
    was_healthy: bool
    created_at: datetime
    role: Role | None
    reason_code: str
    reason_text: str


async def find(con: Connection, session_id: UUID, actor: Actor) -> TrialRun | None:
    """Return the trial run, if the caller may see it."""
    row = await con.fetchrow(SQL.find, session_id, actor.user_id, actor.operator)
    return TrialRun(**row) if row else None


async def living(con: Connection, project_id: ProjectId) -> int:
    """Return how many of the project have not ended."""
    return int(await con.fetchval(SQL.living, project_id))
