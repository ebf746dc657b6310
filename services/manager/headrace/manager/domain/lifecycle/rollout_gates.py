"""Gates of a rollout: canary steps, and the switch of a blue-green rollout. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.contracts.rollout import Rollout, is_none, replicas_of
from headrace.manager.domain.records.rollouts import RolloutState


@dataclass(frozen=True)
class Gate:
    """A closed gate: how many replicas of each revision there are until it opens."""

    new: int
    """At most, of the current revision."""
    old: int
    """Of the revision that served before."""
    idle: bool = False
    """Whether the new ones get no requests."""
    pause_s: float | None = None
    """How long it stays closed once `new` are ready; None: until the rollout is promoted."""


def gates(rollout: Rollout) -> int:
    """Return the number of gates."""
    if rollout.strategy == "blue-green":
        return 1
    return len(rollout.steps) if rollout.strategy == "canary" else 0


def closed_gate(rollout: Rollout, state: RolloutState, wanted: int) -> Gate | None:
    """Return the gate before which the rollout stands; None behind the last one."""
    if wanted == 0 or state.step >= gates(rollout):
        return None
    if rollout.strategy == "blue-green":
        return Gate(wanted, wanted, idle=True, pause_s=0.0 if rollout.auto_promote else None)
    step = rollout.steps[state.step]
    new = min(wanted, max(1, replicas_of(step.replicas, wanted, up=True)))
    return Gate(new, max(wanted - new, 0 if is_none(rollout.max_surge) else 1), pause_s=step.pause_s)


def paused_gate(gate: Gate | None, state: RolloutState, wanted: int) -> Gate | None:
    """Return the gate of a paused rollout, or the given one where it is not paused."""
    if state.paused_replicas is None:
        return gate
    new = min(state.paused_replicas, wanted if gate is None else gate.new)
    old = wanted - new if gate is None else max(wanted - new, gate.old)
    return Gate(new, old, idle=gate is not None and gate.idle)
