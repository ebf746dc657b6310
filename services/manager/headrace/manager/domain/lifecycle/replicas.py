"""Replica decision of a service: which sessions to create, drain, stop or end, from desired and observed replicas. Pure.

- Start, wait for healthy, drain, stop: no serving replica is removed before enough others serve.
- Worst first. A replica whose container exited is replaced, in every state.
- A replica that ended in operation is replaced at once the first time, then after 1, 2, 4, 8 … seconds, until one has run
  well for a while.
- An unhealthy replica gets a replacement and stays until enough others are healthy, because one success brings it back;
  but when the replacement has found no machine for `GIVE_WAY_AFTER`, it is removed to make room.
- An update starts new ones, at most `max_surge` above the wanted number, and drains an old one for each that serves. When
  no machine has room for a new one and an old one holds what it needs, or it may not surge, old ones are removed first
  (`max_unavailable`). Gates hold it: canary steps, the switch of a blue-green rollout, a pause (`rollout.py`).
- Failed starts are tried again after 1, 2, 4, 8 … seconds; after five rounds in a row, or when the rollout's progress
  deadline is over, none of that revision is started until a retry is requested. From the first failed start on, the
  revision that served before is kept at the wanted number for as long as it takes; or (`roll_back`) it becomes the current
  one again.
- A replica whose machine is being drained, or whose replacement a user asked for, is replaced as in an update: one that
  serves leaves once enough others do.
- A replica whose machine fell silent gets a replacement at once, and stays routed until enough others serve: its agent may
  be gone while its container still answers, which only the app-proxy can see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from headrace.common.contracts.ids import RevisionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.manager.domain.lifecycle import rollout, states
from headrace.manager.domain.lifecycle.missing import missing
from headrace.manager.domain.lifecycle.replica_failures import (
    MAX_BACKOFF_S,
    ends,
    failures,
    is_end,
    is_failed_start,
    is_unhealthy_end,
    recovery,
    settling,
)
from headrace.manager.domain.lifecycle.replica_state import (
    Action,
    Advance,
    Create,
    DesiredReplicas,
    Ended,
    Failed,
    FailRollout,
    ObservedReplica,
    Recovered,
    Retire,
    Reveal,
    RollBack,
    Served,
)
from headrace.manager.domain.lifecycle.surplus import GIVE_WAY_AFTER, STUCK_AFTER, retire, stuck, surplus
from headrace.manager.domain.records.services import Goal

__all__ = [
    "GIVE_WAY_AFTER",
    "MAX_BACKOFF_S",
    "STUCK_AFTER",
    "Action",
    "Advance",
    "Create",
    "DesiredReplicas",
    "Ended",
    "FailRollout",
    "Failed",
    "ObservedReplica",
    "Recovered",
    "Retire",
    "Reveal",
    "RollBack",
    "Served",
    "decide",
    "stuck",
]

CUT_FIRST = timedelta(seconds=2)
"""App-proxies cut open requests at a drain's deadline and report it; one without a report after this long is not waited
for."""

_AWAY: Final[Mapping[Goal, SessionReason]] = {
    "stopped": SessionReason.SERVICE_STOPPED,
    "deleting": SessionReason.SERVICE_DELETING,
}
"""Reason for stopping replicas of a service that is stopped or deleted."""


def decide(want: DesiredReplicas, have: Sequence[ObservedReplica], now: datetime) -> list[Action]:
    """Return the actions that bring `have` nearer to `want`; none once they agree."""
    have = [replace(r, settling=True) if settling(want, r, now) else r for r in have]
    actions: list[Action] = []
    alive: list[ObservedReplica] = []
    over: list[ObservedReplica] = []
    for replica in have:
        ended = _ended(replica, now)
        if ended is None:
            alive.append(replica)
            continue
        actions.append(ended)
        over.append(replica)
    active = [r for r in alive if r.status in states.ACTIVE]
    failed = [r for r in over if is_failed_start(want, r, now)]
    dead = [r for r in over if is_end(want, r, now)]
    actions += failures(want, failed, now)
    if want.goal != "running":
        away = Reason.of(_AWAY[want.goal], f"the service is {want.goal}")
        return [*actions, *(retire(want, r, now, away) for r in active)]
    kept = _kept_revision(want, active)
    counted = frozenset({want.revision_id, kept} if want.gate is not None else {kept or want.revision_id})
    verdict = [] if failed else rollout.failed(want, rollout.failure(want, alive, now))
    if verdict:
        return [*actions, *ends(want, dead, counted, now), *verdict]  # the next pass sees what is wanted then
    if not failed:
        actions += recovery(want, active)
        actions += rollout.step_over(want, active, now)
    actions += _served(want, active)
    room_is_made = len(alive) > len(active) or bool(over)
    leaving = surplus(want, active, kept, now, room_is_made=room_is_made)
    ended_now = ends(want, [*dead, *_gone_unhealthy(active, leaving)], counted, now)
    actions += [*rollout.revealed(want, active), *leaving, *ended_now]
    if ended_now:
        want = replace(want, held=ended_now[0].held, next_restart_at=ended_now[0].next_restart_at)
    return [*actions, *missing(want, active, kept, now, failed=bool(failed))]


def _ended(replica: ObservedReplica, now: datetime) -> Retire | None:
    """Return the next state of a dead, lost or drained session, whatever is desired; None for others."""
    if replica.lost and not replica.perhaps_serving:
        return Retire(replica.id, "ended", states.SILENT)
    if replica.status == "stopping":
        return None
    if replica.dead:
        return Retire(replica.id, "stopping", replica.reason)
    if replica.status == "draining":
        if replica.released:
            return Retire(replica.id, "stopping", Reason.of(SessionReason.DRAINED, "no request is open on it any more"))
        if replica.drain_deadline is None or now >= replica.drain_deadline + CUT_FIRST:
            return Retire(
                replica.id,
                "stopping",
                Reason.of(SessionReason.DRAIN_GRACE_OVER, "requests were still open when the drain's grace was over"),
            )
        return None
    if replica.health == "unhealthy" and not replica.was_healthy:
        return Retire(replica.id, "stopping", replica.reason)
    return None


def _kept_revision(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> RevisionId | None:
    """Return the revision that served before, while it is kept: the current one does not start, or a gate holds it."""
    if want.gave_up or want.gate is not None:
        return want.before
    proven = any(r.available and r.revision_id == want.revision_id for r in active)
    return want.before if want.failed_starts and not proven else None


def _served(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> list[Served]:
    """Return the current revision as the serving one once it serves alone.

    Until one was ever recorded, any revision that serves: an update may have come just before the first report of it.
    """
    serving = {r.revision_id for r in active if r.serving}
    alone = next(iter(serving)) if len(serving) == 1 else None
    if alone is None or alone == want.served or not any(r.available for r in active):
        return []
    if want.served is None:
        return [Served(alone)]
    return [Served(alone)] if alone == want.revision_id and want.gate is None else []


def _gone_unhealthy(active: Sequence[ObservedReplica], leaving: Sequence[Retire]) -> list[ObservedReplica]:
    """Return the leaving replicas that ended in operation by failed health checks."""
    gone = {retire.id for retire in leaving if retire.reason.code == SessionReason.UNHEALTHY_REPLACED}
    return [r for r in active if r.id in gone and is_unhealthy_end(r)]
