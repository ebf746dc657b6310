"""Replica decision of a service: which sessions to create, drain, stop or end, from desired and observed replicas. Pure.

- Start, wait for healthy, drain, stop: no serving replica is removed before enough others serve.
- Worst first. A replica whose container exited is replaced, in every state.
- A replica that ended in operation is replaced at once the first time, then after 1, 2, 4, 8 … seconds, until one has run
  well for a while.
- An unhealthy replica gets a replacement and stays until enough others are healthy, because one success brings it back;
  but when the replacement has found no machine for `GIVE_WAY_AFTER`, it is removed to make room.
- An update starts new ones, at most a quarter (at least one) above the wanted number, and drains an old one for each that
  serves. When no machine has room for a new one and an old one holds what it needs, one old one is removed
  (`max_unavailable`).
- Failed starts are tried again after 1, 2, 4, 8 … seconds; after five rounds in a row none of that revision is started until
  a retry is requested. From the first failed start on, the revision that served before is kept at the wanted number for as
  long as it takes; or (`roll_back`) it becomes the current one again.
- A replica whose machine is being drained is replaced as in an update: one that serves leaves once enough others do.
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
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replica_failures import (
    MAX_BACKOFF_S,
    ends,
    failures,
    is_end,
    is_failed_start,
    is_unhealthy_end,
    recovery,
)
from headrace.manager.domain.lifecycle.replica_state import (
    Action,
    Create,
    DesiredReplicas,
    Ended,
    Failed,
    ObservedReplica,
    Recovered,
    Retire,
    RollBack,
    Served,
)
from headrace.manager.domain.records.services import Goal

__all__ = [
    "MAX_BACKOFF_S",
    "Action",
    "Create",
    "DesiredReplicas",
    "Ended",
    "Failed",
    "ObservedReplica",
    "Recovered",
    "Retire",
    "RollBack",
    "Served",
    "decide",
    "stuck",
]

GIVE_WAY_AFTER = timedelta(seconds=60)
"""An unhealthy replica is removed when its replacement has waited this long for a machine: it may hold what that needs."""

STUCK_AFTER = timedelta(seconds=10)
"""A rollout removes an old replica when a new one has waited this long for a machine on which this would make room."""

CUT_FIRST = timedelta(seconds=2)
"""App-proxies cut open requests at a drain's deadline and report it; one without a report after this long is not waited
for."""

_AWAY: Final[Mapping[Goal, SessionReason]] = {
    "stopped": SessionReason.SERVICE_STOPPED,
    "deleting": SessionReason.SERVICE_DELETING,
}
"""Reason for stopping replicas of a service that is stopped or deleted."""


_MOVED: Final = Reason.of(
    SessionReason.AGENT_DRAINED, "its machine is being drained, and another replica takes its place"
)


def decide(want: DesiredReplicas, have: Sequence[ObservedReplica], now: datetime) -> list[Action]:
    """Return the actions that bring `have` nearer to `want`; none once they agree."""
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
    failed = [r for r in over if is_failed_start(want, r)]
    kept = _fallback_revision(want, active)
    dead = [r for r in over if is_end(want, r)]
    actions += failures(want, failed, now)
    if want.goal != "running":
        away = Reason.of(_AWAY[want.goal], f"the service is {want.goal}")
        return [*actions, *(_retire(want, r, now, away) for r in active)]
    if want.roll_back and want.gave_up and want.before is not None and not failed:
        ended_now = ends(want, dead, kept or want.revision_id, now)
        return [*actions, *ended_now, RollBack(want.before)]  # the next pass sees what is wanted then
    if not failed:
        actions += recovery(want, active)
    actions += _served(want, active)
    room_is_made = len(alive) > len(active) or bool(over)
    leaving = _surplus(want, active, kept, now, room_is_made=room_is_made)
    ended_now = ends(want, [*dead, *_gone_unhealthy(active, leaving)], kept or want.revision_id, now)
    actions += [*leaving, *ended_now]
    if ended_now:
        want = replace(want, held=ended_now[0].held, next_restart_at=ended_now[0].next_restart_at)
    return [*actions, *_missing(want, active, kept, now, failed=bool(failed))]


def stuck(want: DesiredReplicas, have: Sequence[ObservedReplica], now: datetime) -> ObservedReplica | None:
    """Return the replica of a rollout that waits for a machine, where removing an old replica is worth considering."""
    if want.goal != "running" or not want.max_unavailable:
        return None
    if not any(r.serving and r.revision_id != want.revision_id for r in have):
        return None
    waiting = (r for r in have if r.status == "pending" and r.revision_id == want.revision_id)
    return next((r for r in waiting if now - r.created_at >= STUCK_AFTER), None)


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


def _fallback_revision(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> RevisionId | None:
    """Return the revision that served before, while the current one does not start."""
    if want.gave_up:
        return want.before
    proven = any(r.serving and r.revision_id == want.revision_id for r in active)
    return want.before if want.failed_starts and not proven else None


def _served(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> list[Served]:
    """Return the current revision as the serving one once it serves alone.

    Until one was ever recorded, any revision that serves: an update may have come just before the first report of it.
    """
    serving = {r.revision_id for r in active if r.serving}
    alone = next(iter(serving)) if len(serving) == 1 else None
    if alone is None or alone == want.served:
        return []
    return [Served(alone)] if alone == want.revision_id or want.served is None else []


def _missing(
    want: DesiredReplicas, active: Sequence[ObservedReplica], kept: RevisionId | None, now: datetime, *, failed: bool
) -> list[Create]:
    """Return the replicas to create; during an update or a drain at most a quarter (at least one) above the wanted number."""
    held = want.held if want.next_restart_at is not None and now < want.next_restart_at else 0
    most = want.replicas + max(1, want.replicas // 4)
    before = 0
    if kept is not None:
        before = _missing_before(want, active, kept, held, most)
        held = 0  # what ended was of that revision
    waiting = failed or want.gave_up or (want.next_start_at is not None and now < want.next_start_at)
    if waiting:
        return [Create(kept)] * before if kept is not None else []
    staying = sum(r.revision_id == want.revision_id and not r.ill and not r.moving for r in active)
    missing = want.replicas - staying
    others = before + sum(
        not r.ill and (r.moving if r.revision_id == want.revision_id else r.was_healthy or r.revision_id == kept)
        for r in active
    )
    if others:
        missing = min(missing, most - staying - others)
    starts = [Create(want.revision_id)] * max(0, missing - held)
    return [*([Create(kept)] * before if kept is not None else []), *starts]


def _gone_unhealthy(active: Sequence[ObservedReplica], leaving: Sequence[Retire]) -> list[ObservedReplica]:
    """Return the leaving replicas that ended in operation by failed health checks."""
    gone = {retire.id for retire in leaving if retire.reason.code == SessionReason.UNHEALTHY_REPLACED}
    return [r for r in active if r.id in gone and is_unhealthy_end(r)]


def _missing_before(
    want: DesiredReplicas, active: Sequence[ObservedReplica], kept: RevisionId, held: int, most: int
) -> int:
    """Return how many replicas of the revision that served before to create, while the current one does not start."""
    usable = [r for r in active if not r.ill and (r.was_healthy or r.revision_id == kept)]
    staying = sum(not r.moving for r in usable)
    missing = max(0, want.replicas - staying - held)
    return missing if staying == len(usable) else max(0, min(missing, most - len(usable)))


def _surplus(
    want: DesiredReplicas,
    active: Sequence[ObservedReplica],
    kept: RevisionId | None,
    now: datetime,
    *,
    room_is_made: bool,
) -> list[Retire]:
    serving = sum(r.serving for r in active)
    staying = sum(r.serving and not r.moving for r in active)
    proven = any(r.serving and r.revision_id == want.revision_id for r in active)
    updated = Reason.of(SessionReason.REPLACED_BY_UPDATE, "a newer revision takes its place")
    too_many = Reason.of(SessionReason.SCALED_IN, f"{want.replicas} replicas are wanted")
    leaving: list[Retire] = []
    starting = 0
    older = (r for r in active if r.revision_id != want.revision_id)
    for replica in sorted(older, key=lambda r: (not r.moving, *_worst_first(r))):
        if replica.serving and serving > want.replicas:
            serving -= 1
            leaving.append(_retire(want, replica, now, updated if proven else too_many))
        elif not replica.was_healthy:
            stays = replica.revision_id == kept and not replica.ill and not replica.moving
            if stays and staying + starting < want.replicas:
                starting += 1
                continue
            leaving.append(_retire(want, replica, now, too_many if replica.revision_id == kept else updated))
    current = sorted((r for r in active if r.revision_id == want.revision_id and not r.ill), key=_worst_first)
    good = [r for r in current if not r.moving]
    moved = _moved(want, [r for r in current if r.moving], good, serving)
    serving -= sum(r.serving for r in moved)
    leaving += [_retire(want, r, now, _MOVED) for r in moved]
    excess = max(0, len(good) - want.replicas)
    leaving += [_retire(want, r, now, too_many) for r in good[:excess]]
    waiting = good[excess:] + [r for r in active if r.revision_id == kept]
    cramped = sum(r.status == "pending" and now - r.created_at >= GIVE_WAY_AFTER for r in waiting)
    leaving += _replaced(want, active, serving, cramped, now)
    if not leaving and not room_is_made and serving >= want.replicas:
        leaving += _removed_for_room(want, active, now)
    return leaving


def _moved(
    want: DesiredReplicas, moving: Sequence[ObservedReplica], good: Sequence[ObservedReplica], serving: int
) -> list[ObservedReplica]:
    """Return those of the replicas on draining machines that others stand in for.

    One that serves leaves once enough others do, one that never served once its replacement has a machine.
    """
    there = sum(r.status != "pending" for r in good) + len(moving)
    leaving: list[ObservedReplica] = []
    for replica in moving:
        if (serving if replica.serving else there) > want.replicas:
            serving -= replica.serving
            there -= 1
            leaving.append(replica)
    return leaving


def _removed_for_room(want: DesiredReplicas, active: Sequence[ObservedReplica], now: datetime) -> list[Retire]:
    """Return one serving replica to remove, so that a new one finds a machine.

    Until that one serves, one less than wanted does.
    """
    waiting = stuck(want, active, now)
    if waiting is None:
        return []
    old = sorted((r for r in active if r.makes_room and r.revision_id != want.revision_id), key=_worst_first)
    why = Reason.of(
        SessionReason.MADE_ROOM_FOR_UPDATE,
        f"the newer revision's replica {waiting.id} found no machine; it takes this place",
    )
    return [_retire(want, r, now, why) for r in old[:1]]


def _replaced(
    want: DesiredReplicas, active: Sequence[ObservedReplica], serving: int, cramped: int, now: datetime
) -> list[Retire]:
    """Return the replicas that served once and do not now, when enough others serve or `cramped` replacements need room.

    As many are kept as could fill the gap by recovering, so that a service that fails again and again does not grow.
    """
    ill = [r for r in active if r.was_healthy and not r.serving and (r.ill or r.revision_id != want.revision_id)]
    kept = max(0, min(want.replicas - serving, len(ill) - cramped))
    replaced = Reason.of(SessionReason.UNHEALTHY_REPLACED, "it did not answer, and another takes its place")
    worst = sorted(ill, key=lambda r: (r.revision_id == want.revision_id, *_worst_first(r)))
    return [_retire(want, r, now, replaced) for r in worst[: len(ill) - kept]]


def _worst_first(replica: ObservedReplica) -> tuple[bool, int, int, int, float]:
    """Sort key: not placed, placed, unhealthy, degraded, healthy with failing checks, healthy.

    The youngest first among equals.
    """
    health = ("unhealthy", "degraded", "healthy").index(replica.health)
    stage = states.STAGES.index(replica.status)
    return (replica.serving, stage, health, -replica.failures, -replica.created_at.timestamp())


def _retire(want: DesiredReplicas, replica: ObservedReplica, now: datetime, reason: Reason) -> Retire:
    status = states.exit_state(replica.status, served=replica.was_healthy, lost=replica.lost)
    deadline = now + timedelta(seconds=want.drain_grace_s) if status == "draining" else None
    return Retire(replica.id, status, states.SILENT if replica.lost else reason, deadline)
