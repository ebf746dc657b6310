"""Queries: failed starts of replicas."""

from __future__ import annotations

from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS, Failed
from headrace.manager.domain.lifecycle.signals import signal_of
from headrace.manager.store import events

SQL = Queries.beside(__file__)
KEPT = 100
"""Failed starts kept per service: as many as are shown."""


async def keep(con: Connection, service_id: ServiceId, project_id: ProjectId, failed: Failed) -> None:
    """Insert a failed start, count it, and write a history event if it is the first of its round."""
    row = await con.fetchrow(SQL.keep, failed.id, service_id, failed.reason.code, failed.reason.text)
    await con.execute(SQL.count, service_id, failed.failed_starts, failed.next_start_at, failed.fresh)
    await con.execute(SQL.forget, service_id, KEPT - 1)
    if row is None or not failed.fresh:
        return
    details = {
        "replica": str(failed.id),
        "revision": row["revision"],
        "agent_id": row["agent_id"],
        "exit_code": row["exit_code"],
        "signal": signal_of(row["exit_code"]),
        "code": failed.reason.code,
        "in_a_row": failed.failed_starts,
    }
    last = "; no more are tried until you retry" if failed.failed_starts >= MAX_FAILED_STARTS else ""
    message = f"start {failed.failed_starts} of {MAX_FAILED_STARTS} failed{last}: {failed.reason.text}"
    await events.note(
        con,
        "replica.start-failed",
        project_id=project_id,
        service_id=service_id,
        message=message[:MAX_TEXT_OF_ONE],
        details={name: value for name, value in details.items() if value is not None},
    )


async def clear(con: Connection, service_id: ServiceId) -> None:
    """Reset the count of failed starts."""
    await con.execute(SQL.count, service_id, 0, None, False)
