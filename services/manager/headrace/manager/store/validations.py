"""Trial runs: sessions without a service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.common.contracts.http.projects import Role
from headrace.common.contracts.http.services import SessionStatus
from headrace.common.contracts.ids import KernelId, ProjectId, SessionId, UserId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.resolved import ResolvedSpec

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


async def insert(
    con: Connection,
    session_id: SessionId,
    kernel_id: KernelId,
    project_id: ProjectId,
    resolved: ResolvedSpec,
    group: str,
    user_id: UserId,
) -> None:
    """Create a session that waits for a machine, with its one kernel."""
    await con.execute(SQL.insert, session_id, project_id, resolved.model_dump(mode="json"), group, user_id)
    await con.execute(SQL.insert_kernel, kernel_id, session_id)


async def find(con: Connection, session_id: UUID, actor: Actor) -> TrialRun | None:
    """Return the trial run, if the caller may see it."""
    row = await con.fetchrow(SQL.find, session_id, actor.user_id, actor.operator)
    return TrialRun(**row) if row else None


async def stop(con: Connection, session_id: SessionId, reason_code: str, reason_text: str) -> bool:
    """Let it end; False when it is ending or has ended."""
    status = await con.fetchval(SQL.stop, session_id, reason_code, reason_text)
    if status == "ended":
        await con.execute(SQL.end_kernels, session_id)
    return status is not None
