"""Replicas that leave: those above the wanted number, those that others replace, and those that make room. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from headrace.common.contracts.ids import RevisionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replica_state import DesiredReplicas, ObservedReplica, Retire

GIVE_WAY_AFTER = timedelta(seconds=60)
"""An unhealthy replica is removed when its replacement has waited this long for a machine: it may hold what that needs."""

STUCK_AFTER = timedelta(seconds=10)
"""A rollout removes old replicas when new ones have waited this long for a machine on which this would make room."""

_MOVED = Reason.of(SessionReason.AGENT_DRAINED, "its machine is being drained, and another replica takes its place")
_WITHDRAWN = Reason.of(
    SessionReason.ROLLOUT_FAILED, "the rollout of its revision failed, and none of it is started any more"
)
_ASKED = Reason.of(SessionReason.REPLACED_BY_USER, "a user asked for its replacement, which serves")


def stuck(want: DesiredReplicas, have: Sequence[ObservedReplica], now: datetime) -> list[ObservedReplica]:
    """Return the replicas that wait for a machine, where removing one that they replace is worth considering."""
    if want.goal != "running" or not want.max_unavailable:
        return []
    if not any(r.serving and replaceable(want, r) for r in have):
        return []
    waiting = (r for r in have if r.status == "pending" and r.revision_id == want.revision_id)
    return [r for r in waiting if now - r.created_at >= STUCK_AFTER]


def replaceable(want: DesiredReplicas, replica: ObservedReplica) -> bool:
    """Return whether a newer replica is to take its place."""
    return replica.revision_id != want.revision_id or replica.asked


def surplus(
    want: DesiredReplicas,
    active: Sequence[ObservedReplica],
    kept: RevisionId | None,
    now: datetime,
    *,
    room_is_made: bool,
) -> list[Retire]:
    """Return the replicas that leave. `room_is_made`: whether some are leaving already."""
    serving = sum(r.available for r in active)
    leaving = _older(want, active, kept, now)
    serving -= _serving_of(active, leaving)
    current = sorted((r for r in active if r.revision_id == want.revision_id and not r.ill), key=_worst_first)
    good = [r for r in current if not r.moving]
    moved = _moved(want, [r for r in current if r.moving], good, serving)
    serving -= sum(r.available for r in moved)
    leaving += [retire(want, r, now, _ASKED if r.asked else _MOVED) for r in moved]
    if want.gave_up and want.before is not None:
        withdrawn = [r for r in good if not r.was_healthy and r.kernel_state != "running"]
        leaving += [retire(want, r, now, _WITHDRAWN) for r in withdrawn]
        good = [r for r in good if r not in withdrawn]
    excess = max(0, len(good) - want.replicas)
    too_many = Reason.of(SessionReason.SCALED_IN, f"{want.replicas} replicas are wanted")
    leaving += [retire(want, r, now, too_many) for r in good[:excess]]
    waiting = good[excess:] + [r for r in active if r.revision_id == kept]
    cramped = sum(r.status == "pending" and now - r.created_at >= GIVE_WAY_AFTER for r in waiting)
    leaving += _replaced(want, active, serving, cramped, now)
    if leaving:
        return leaving
    if not want.surge and not want.gave_up:
        return _taken_down_first(want, active, good, serving, now)
    return [] if room_is_made else _removed_for_room(want, active, serving, now)


def _serving_of(active: Sequence[ObservedReplica], leaving: Sequence[Retire]) -> int:
    gone = {leave.id for leave in leaving}
    return sum(r.available for r in active if r.id in gone)


def _older(
    want: DesiredReplicas, active: Sequence[ObservedReplica], kept: RevisionId | None, now: datetime
) -> list[Retire]:
    """Return the replicas of older revisions that leave: others serve in their place, or they never served."""
    serving = sum(r.available for r in active)
    staying = sum(r.available and not r.moving for r in active)
    proven = any(r.available and r.revision_id == want.revision_id for r in active)
    updated = Reason.of(SessionReason.REPLACED_BY_UPDATE, "a newer revision takes its place")
    too_many = Reason.of(SessionReason.SCALED_IN, f"{want.replicas} replicas are wanted")
    leaving: list[Retire] = []
    starting = 0
    older = [r for r in active if r.revision_id != want.revision_id]
    there = sum(r.serving for r in older)
    for replica in sorted(older, key=lambda r: (not r.moving, *_worst_first(r))):
        beyond = there > want.old_replicas or serving > want.all_replicas
        if replica.serving and beyond and serving > want.replicas:
            serving -= 1
            there -= 1
            leaving.append(retire(want, replica, now, updated if proven else too_many))
        elif not replica.was_healthy:
            stays = replica.revision_id == kept and not replica.ill and not replica.moving
            if stays and staying + starting < want.all_replicas:
                starting += 1
                continue
            leaving.append(retire(want, replica, now, too_many if replica.revision_id == kept else updated))
    return leaving


def _moved(
    want: DesiredReplicas, moving: Sequence[ObservedReplica], good: Sequence[ObservedReplica], serving: int
) -> list[ObservedReplica]:
    """Return those of the replicas that are to move that others stand in for.

    One that serves leaves once enough others do, one that never served once its replacement has a machine.
    """
    there = sum(r.status != "pending" for r in good) + len(moving)
    leaving: list[ObservedReplica] = []
    for replica in moving:
        if (serving if replica.serving else there) > want.replicas:
            serving -= replica.available
            there -= 1
            leaving.append(replica)
    return leaving


def _taken_down_first(
    want: DesiredReplicas,
    active: Sequence[ObservedReplica],
    good: Sequence[ObservedReplica],
    serving: int,
    now: datetime,
) -> list[Retire]:
    """Return the older replicas that leave before their successors start, since none may be started above the wanted number."""
    most = min(serving - (want.replicas - want.max_unavailable), want.new_replicas - len(good))
    older = sorted((r for r in active if r.serving and r.revision_id != want.revision_id), key=_worst_first)
    why = Reason.of(
        SessionReason.MADE_ROOM_FOR_UPDATE,
        "a replica of the newer revision takes its place, and none may be started beside it (max_surge is 0)",
    )
    return [retire(want, r, now, why) for r in older[: max(0, most)]]


def _removed_for_room(
    want: DesiredReplicas, active: Sequence[ObservedReplica], serving: int, now: datetime
) -> list[Retire]:
    """Return the serving replicas to remove, so that new ones find a machine.

    Until those serve, fewer than wanted do, by at most `max_unavailable`.
    """
    waiting = stuck(want, active, now)
    most = min(len(waiting), serving - (want.replicas - want.max_unavailable))
    if most <= 0:
        return []
    old = sorted((r for r in active if r.makes_room and replaceable(want, r)), key=_worst_first)
    return [
        retire(
            want,
            old_one,
            now,
            Reason.of(
                SessionReason.MADE_ROOM_FOR_UPDATE,
                f"the replica {new.id}, which replaces it, found no machine; it takes this place",
            ),
        )
        for old_one, new in zip(old[:most], waiting, strict=False)
    ]


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
    return [retire(want, r, now, replaced) for r in worst[: len(ill) - kept]]


def _worst_first(replica: ObservedReplica) -> tuple[bool, int, int, int, float]:
    """Sort key: not placed, placed, unhealthy, degraded, healthy with failing checks, healthy.

    The youngest first among equals.
    """
    health = ("unhealthy", "degraded", "healthy").index(replica.health)
    stage = states.STAGES.index(replica.status)
    return (replica.serving, stage, health, -replica.failures, -replica.created_at.timestamp())


def retire(want: DesiredReplicas, replica: ObservedReplica, now: datetime, reason: Reason) -> Retire:
    """Return the most graceful end of an active replica."""
    status = states.exit_state(replica.status, served=replica.was_healthy, lost=replica.lost)
    deadline = now + timedelta(seconds=want.drain_grace_s) if status == "draining" else None
    return Retire(replica.id, status, states.SILENT if replica.lost else reason, deadline)
