"""Queries: rollouts of revisions. Each write counts as a change of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId
from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE, Reason
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.rollouts import FailedRollout, RolloutState

SQL = Queries.beside(__file__)
PREFIX: Final = "rollout_"
"""Of the columns of a rollout in a row of its service."""


def state_of(row: Mapping[str, Any]) -> RolloutState:
    """Return the state of the current revision's rollout, from a row of its service."""
    code = row[f"{PREFIX}failed_code"]
    return RolloutState(
        began_at=row[f"{PREFIX}began_at"],
        step=row[f"{PREFIX}step"] or 0,
        step_at=row[f"{PREFIX}step_at"],
        paused_replicas=row[f"{PREFIX}paused_replicas"],
        paused_by=row[f"{PREFIX}paused_by"],
        failed=None if code is None else Reason.read(code, row[f"{PREFIX}failed_text"] or ""),
        failed_at=row[f"{PREFIX}failed_at"],
    )


async def begin(con: Connection, service_id: ServiceId, revision_id: RevisionId) -> None:
    """Begin the rollout of a revision, also one that was rolled out before."""
    await con.execute(SQL.begin, service_id, revision_id)


async def retry(con: Connection, service_id: ServiceId) -> None:
    """Forget that the rollout of the current revision failed: it is tried again."""
    await con.execute(SQL.retry, service_id)


async def fail(con: Connection, service_id: ServiceId, revision_id: RevisionId, reason: Reason) -> None:
    """Record that the rollout failed, or was aborted."""
    await con.execute(SQL.fail, service_id, revision_id, reason.code, reason.text[:MAX_TEXT_OF_ONE])


async def recover(con: Connection, revision_id: RevisionId) -> None:
    """Record that a rollout that had failed goes on."""
    await con.execute(SQL.recover, revision_id)


async def advance(con: Connection, service_id: ServiceId, revision_id: RevisionId, step: int) -> None:
    """Record that so many steps are over."""
    await con.execute(SQL.advance, service_id, revision_id, step)


async def pause(con: Connection, service_id: ServiceId, revision_id: RevisionId, by: str) -> None:
    """Pause at the present number of replicas of the revision."""
    await con.execute(SQL.pause, service_id, revision_id, by)


async def resume(con: Connection, service_id: ServiceId, revision_id: RevisionId) -> None:
    """Resume a paused rollout."""
    await con.execute(SQL.resume, service_id, revision_id)


async def reveal(con: Connection, session_ids: Sequence[SessionId]) -> None:
    """Give these sessions the usual weight: they take requests from now on."""
    await con.execute(SQL.reveal, session_ids)


async def replace(con: Connection, service_id: ServiceId, session_id: SessionId) -> None:
    """Store that a user asked for another replica in this one's place."""
    await con.execute(SQL.replace, service_id, session_id)


async def last_failed(con: Connection, service_id: ServiceId) -> FailedRollout | None:
    """Return the newest rollout, if it failed."""
    row = await con.fetchrow(SQL.last_failed, service_id)
    if row is None or row["failed_at"] is None:
        return None
    return FailedRollout(row["number"], row["failed_at"], Reason.read(row["failed_code"], row["failed_text"] or ""))
