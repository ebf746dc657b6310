"""Queries: replicas that ended in operation."""

from __future__ import annotations

from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.lifecycle.replica_state import Ended
from headrace.manager.domain.lifecycle.signals import signal_of
from headrace.manager.domain.records.replicas import End
from headrace.manager.store import events

SQL = Queries.beside(__file__)
KEPT = 100
"""Of each service."""


async def keep(con: Connection, service_id: ServiceId, project_id: ProjectId, ended: Ended) -> bool:
    """Insert the end, count it, and write a history event. Return False if that replica's end is recorded already."""
    row = await con.fetchrow(SQL.keep, ended.id, ended.reason.code, ended.reason.text)
    if ended.counted:
        await con.execute(SQL.count, service_id, ended.ends, ended.held, ended.next_restart_at)
    if row is None:
        return False
    await con.execute(SQL.forget, service_id, KEPT - 1)
    details = {
        "replica": str(ended.id),
        "revision": row["revision"],
        "agent_id": row["agent_id"],
        "exit_code": row["exit_code"],
        "signal": signal_of(row["exit_code"]),
        "code": ended.reason.code,
        "in_a_row": ended.ends if ended.counted else None,
    }
    await events.note(
        con,
        "replica.ended",
        project_id=project_id,
        service_id=service_id,
        message=ended.reason.text[:MAX_TEXT_OF_ONE],
        details={name: value for name, value in details.items() if value is not None},
    )
    return True


async def newest(con: Connection, service_id: ServiceId, limit: int) -> list[End]:
    """Return the newest ends, newest first."""
    return [End(**row) for row in await con.fetch(SQL.newest, service_id, limit)]
