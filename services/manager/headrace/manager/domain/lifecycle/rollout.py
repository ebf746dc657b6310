"""Rollout strategy: how many replicas of each revision there may be now, when a step is over, when a rollout failed. Pure.

- A gate holds a rollout: a canary step, or the switch of a blue-green rollout. While it is closed, the current revision has
  as many replicas as the gate lets through, and the revision that served is kept at the rest. Behind the last gate, and in
  a rolling rollout, the current revision takes the place of the others as `max_surge` and `max_unavailable` let it.
- A pause is a gate at as many replicas as the current revision has at that moment.
- A rollout fails when no further replica of it becomes ready within the progress deadline. Containers that run are judged by
  their health checks, and room that is being made is waited for; neither counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.rollout import RolloutReason
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replica_state import (
    MAX_FAILED_STARTS,
    Action,
    Advance,
    DesiredReplicas,
    FailRollout,
    ObservedReplica,
    Reveal,
    RollBack,
)


def failure(want: DesiredReplicas, have: Sequence[ObservedReplica], now: datetime) -> Reason | None:
    """Return why the rollout has failed; None while it has not, or there is no revision to go back to."""
    if want.before is None:
        return None
    if want.state.failed is not None:
        return want.state.failed
    if want.gave_up:
        text = f"{MAX_FAILED_STARTS} starts of it in a row failed"
        return Reason.of(RolloutReason.ROLLOUT_STARTS_FAILED, text)
    since = waiting_since(want, have)
    if since is None or now - since < timedelta(seconds=want.rollout.progress_deadline_s):
        return None
    last = next((r.reason.text for r in have if r.revision_id == want.revision_id and not r.available), "")
    text = f"no further replica of it became ready within {want.rollout.progress_deadline_s:g} s"
    return Reason.of(RolloutReason.ROLLOUT_DEADLINE_EXCEEDED, f"{text}; the last reason: {last}" if last else text)


def failed(want: DesiredReplicas, why: Reason | None) -> list[Action]:
    """Return the action that a failed rollout needs: to roll back, or to record that it failed."""
    if why is None or want.before is None:
        return []
    if want.roll_back:
        return [RollBack(want.before, why)]
    return [] if want.gave_up else [FailRollout(why)]


def waiting_since(want: DesiredReplicas, have: Sequence[ObservedReplica]) -> datetime | None:
    """Return the time from which the progress deadline runs; None while nothing counts against the rollout."""
    if want.goal != "running" or want.before is None or want.gave_up or want.state.paused_replicas is not None:
        return None
    current = [r for r in have if r.revision_id == want.revision_id and r.status in states.ACTIVE]
    ready = [r for r in current if r.available]
    waiting = [r for r in current if not r.available]
    if not waiting or len(ready) >= want.new_replicas:
        return None
    if any(r.status in {"draining", "stopping"} for r in have):
        return None
    if any(r.kernel_state == "running" and not r.ill for r in waiting):
        return None
    seen = [min(r.created_at for r in waiting), *(r.healthy_at for r in ready), want.state.step_at]
    return max(at for at in seen if at is not None)


def step_over(want: DesiredReplicas, active: Sequence[ObservedReplica], now: datetime) -> list[Action]:
    """Return Advance when the gate that holds the rollout opens by itself."""
    gate = want.gate
    if gate is None or want.state.paused_replicas is not None or gate.pause_s is None:
        return []
    ready = [r for r in active if r.revision_id == want.revision_id and r.available]
    if len(ready) < gate.new:
        return []
    hold = timedelta(seconds=want.rollout.min_ready_s)
    seen = [want.state.step_at, *(r.healthy_at + hold for r in ready if r.healthy_at is not None)]
    reached = max((at for at in seen if at is not None), default=None)
    if reached is not None and now - reached < timedelta(seconds=gate.pause_s):
        return []
    return [Advance(want.state.step + 1)]


def revealed(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> list[Action]:
    """Return Reveal when replicas that were started without requests are to take them.

    Also when no other one serves: callers are rather answered by a revision that nobody has promoted than refused.
    """
    idle = [r.id for r in active if r.idle]
    if not idle:
        return []
    if want.idle and any(r.serving and not r.idle for r in active):
        return []
    if want.idle and not any(r.available and r.idle for r in active):
        return []
    return [Reveal(tuple(idle))]
