"""Writes of the services loop about rollouts: rolled back, failed, a step further, replicas that take requests."""

from __future__ import annotations

from headrace.common.db.pool import Connection
from headrace.manager.domain.lifecycle.replica_state import Advance, FailRollout, Reveal, RollBack
from headrace.manager.domain.records.sessions import ReconciledService
from headrace.manager.store import events, rollouts, sessions

RolloutAction = RollBack | FailRollout | Advance | Reveal


async def write_rollout(con: Connection, service: ReconciledService, action: RolloutAction) -> None:
    """Write one action about the rollout of the service's current revision, with its event."""
    match action:
        case RollBack(revision_id, reason):
            await rollouts.fail(con, service.id, service.revision_id, reason)
            before, after = await sessions.roll_back(con, service.id, revision_id)
            message = (
                f"the rollout of revision {before} failed: {reason.text}; revision {after} is the current one again"
            )
            details: dict[str, object] = {"from_revision": before, "revision": after, "code": reason.code}
            await _note(con, service, "service.rolled-back", message, details)
        case FailRollout(reason):
            await rollouts.fail(con, service.id, service.revision_id, reason)
            await _note(con, service, "rollout.failed", reason.text, {"code": reason.code})
        case Advance(step):
            await rollouts.advance(con, service.id, service.revision_id, step)
            await _note(con, service, "rollout.advanced", f"step {step} is over", {"step": step})
        case Reveal(ids):
            await rollouts.reveal(con, ids)


async def _note(
    con: Connection, service: ReconciledService, action: str, message: str, details: dict[str, object]
) -> None:
    await events.note(
        con, action, project_id=service.project_id, service_id=service.id, message=message[:1000], details=details
    )
