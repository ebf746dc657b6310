"""How the rollout of a service's current revision stands, in words and numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headrace.common.contracts import stored
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.rollout import RolloutReason
from headrace.common.contracts.rollout import Rollout, RolloutPhase
from headrace.common.text.counting import count
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replica_failures import settling
from headrace.manager.domain.lifecycle.replica_state import DesiredReplicas, ObservedReplica
from headrace.manager.domain.lifecycle.rollout import failure, waiting_since
from headrace.manager.domain.lifecycle.rollout_gates import gates
from headrace.manager.domain.records.replicas import Replica
from headrace.manager.domain.records.services import ServiceFacts


@dataclass(frozen=True)
class Side:
    """Replicas of the new, or of all older revisions: there, ready, and as many as there should be."""

    replicas: int
    ready: int
    wanted: int


@dataclass(frozen=True)
class Standing:
    """How a rollout stands."""

    phase: RolloutPhase
    reason: Reason
    step: int
    steps: int
    new: Side
    old: Side
    deadline_at: datetime | None


def under_way(facts: ServiceFacts) -> bool:
    """Return whether another revision served last than the current one."""
    return facts.served is not None and facts.served != facts.revision


def desired_of(facts: ServiceFacts) -> DesiredReplicas:
    """Return what is wanted of a service's replicas, as far as its rollout needs it."""
    service = facts.service
    return DesiredReplicas(
        goal=service.goal,
        replicas=service.wanted,
        revision_id=service.revision_id,
        drain_grace_s=service.drain_grace_s,
        failed_starts=service.failed_starts,
        served=service.served_revision_id,
        rollout=stored.read(Rollout, service.rollout),
        state=facts.rollout,
    )


def standing(facts: ServiceFacts, replicas: Sequence[Replica], now: datetime) -> Standing:
    """Return how the rollout of the current revision stands. `replicas`: the live ones."""
    want = desired_of(facts)
    have = [_observed(want, replica, now) for replica in replicas]
    active = [r for r in have if r.status in states.ACTIVE]
    new = [r for r in active if r.revision_id == want.revision_id]
    old = [r for r in active if r.revision_id != want.revision_id]
    gate = want.gate
    since = waiting_since(want, have)
    new_side = Side(len(new), sum(r.available for r in new), want.new_replicas)
    old_wanted = 0 if gate is None else gate.old
    if want.before is not None and want.gave_up:
        new_side, old_wanted = replace(new_side, wanted=0), want.replicas
    phase, reason = _phase(facts, want, have, new_side, now)
    return Standing(
        phase=phase,
        reason=reason,
        step=min(facts.rollout.step, gates(want.rollout)),
        steps=gates(want.rollout),
        new=new_side,
        old=Side(len(old), sum(r.available for r in old), old_wanted),
        deadline_at=since + timedelta(seconds=want.rollout.progress_deadline_s) if since is not None else None,
    )


def _phase(
    facts: ServiceFacts, want: DesiredReplicas, have: Sequence[ObservedReplica], new: Side, now: datetime
) -> tuple[RolloutPhase, Reason]:
    if want.before is None:
        return "complete", Reason.of(RolloutReason.ROLLOUT_COMPLETE, f"revision {facts.revision} is the only one")
    who = f"revision {facts.revision} has {new.ready} of {count(want.replicas, 'replica')}"
    failed = failure(want, have, now) if want.gave_up else None
    if failed is not None:
        text = f"{failed.text}; revision {facts.served} goes on serving until you update, retry or abort"
        return "failed", Reason.read(failed.code, text)
    if facts.rollout.paused_replicas is not None:
        by = f"paused by {facts.rollout.paused_by} at {count(facts.rollout.paused_replicas, 'replica')}"
        return "paused", Reason.of(RolloutReason.ROLLOUT_PAUSED, f"{who}; {by}: resume or abort it")
    if want.replicas == 0:
        text = f"no replica is wanted: revision {facts.revision} is tried when one is, with revision {facts.served} to go back to"
        return "progressing", Reason.of(RolloutReason.ROLLOUT_PROGRESSING, text)
    gate = want.gate
    if gate is None or new.ready < gate.new:
        return "progressing", Reason.of(
            RolloutReason.ROLLOUT_PROGRESSING, f"{who}, revision {facts.served} serves the rest"
        )
    kind = "all new replicas are ready beside the old ones, without requests"
    if not gate.idle:
        kind = f"step {facts.rollout.step + 1} of {len(want.rollout.steps)} is reached"
    if gate.pause_s is None:
        return "waiting", Reason.of(RolloutReason.ROLLOUT_AWAITING_PROMOTION, f"{who}; {kind}: promote or abort it")
    return "waiting", Reason.of(RolloutReason.ROLLOUT_STEP_WAITING, f"{who}; {kind} and lasts {gate.pause_s:g} s")


def _observed(want: DesiredReplicas, replica: Replica, now: datetime) -> ObservedReplica:
    seen = ObservedReplica(
        id=replica.id,
        revision_id=replica.revision_id,
        status=replica.status,
        health=replica.health,
        was_healthy=replica.was_healthy,
        kernel_state=replica.kernel_state,
        reason=Reason.read(replica.reason_code, replica.reason_text),
        created_at=replica.created_at,
        healthy_at=replica.healthy_at,
        idle=replica.idle,
    )
    return replace(seen, settling=settling(want, seen, now))
