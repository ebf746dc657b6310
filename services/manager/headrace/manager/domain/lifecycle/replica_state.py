"""Input and output types of the replica decision: desired and observed state of a service's replicas, and actions.

They are apart from the decision so that the loop and the store can use them without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from headrace.common.contracts.ids import RevisionId, SessionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.rollout import Rollout, replicas_of
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, SessionStatus
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.rollout_gates import Gate, closed_gate, paused_gate
from headrace.manager.domain.records.rollouts import RolloutState
from headrace.manager.domain.records.services import Goal

MAX_FAILED_STARTS = 5
"""Consecutive failed starts after which a revision is not started any more; the error stays until it is cleared."""


@dataclass(frozen=True)
class DesiredReplicas:
    """Desired state of a service's replicas."""

    goal: Goal
    replicas: int
    revision_id: RevisionId
    drain_grace_s: float
    failed_starts: int = 0
    next_start_at: datetime | None = None
    last_failed_at: datetime | None = None
    """When a failed start last counted: of replicas that were placed before, the failures count with that one."""
    served: RevisionId | None = None
    """Last revision that served alone. It is kept running while the current one does not start."""
    ends: int = 0
    """Consecutive ends in operation."""
    held: int = 0
    """Number of replacements that wait until `next_restart_at`."""
    next_restart_at: datetime | None = None
    last_end_at: datetime | None = None
    rollout: Rollout = field(default_factory=Rollout)
    state: RolloutState = field(default_factory=RolloutState)
    """State of the current revision's rollout."""

    @property
    def gave_up(self) -> bool:
        """Whether the current revision has failed, and is not started again before a retry is requested."""
        return self.failed_starts >= MAX_FAILED_STARTS or self.state.failed is not None

    @property
    def roll_back(self) -> bool:
        """Whether a failed rollout is rolled back."""
        return self.rollout.on_failure == "roll-back"

    @property
    def before(self) -> RevisionId | None:
        """Revision that served before the current one, until the current one serves alone; None otherwise."""
        return self.served if self.served != self.revision_id else None

    @property
    def gate(self) -> Gate | None:
        """Gate before which the rollout stands; None where none holds it, or no other revision served before."""
        if self.before is None or self.replicas == 0:
            return None
        return paused_gate(closed_gate(self.rollout, self.state, self.replicas), self.state, self.replicas)

    @property
    def idle(self) -> bool:
        """Whether new replicas of the current revision get no requests."""
        return self.gate is not None and self.gate.idle

    @property
    def new_replicas(self) -> int:
        """Replicas that the current revision may have."""
        return self.replicas if self.gate is None else min(self.replicas, self.gate.new)

    @property
    def old_replicas(self) -> int:
        """Replicas at which the revision that served before is kept beside the current one."""
        return 0 if self.gate is None else self.gate.old

    @property
    def all_replicas(self) -> int:
        """Replicas of all revisions together: more than wanted where a gate keeps older ones beside the new ones."""
        return self.replicas if self.gate is None else max(self.replicas, self.new_replicas + self.old_replicas)

    @property
    def surge(self) -> int:
        """Replicas above the wanted number that an update may start."""
        surge = replicas_of(self.rollout.max_surge, self.replicas, up=True)
        return max(surge, self.all_replicas - self.replicas)

    @property
    def max_unavailable(self) -> int:
        """Serving replicas that an update may take out of service before others serve; at least one where it may not surge."""
        if self.idle:
            return 0
        return max(replicas_of(self.rollout.max_unavailable, self.replicas, up=False), 0 if self.surge else 1)


@dataclass(frozen=True)
class ObservedReplica:
    """Observed state of a live session and its main kernel."""

    id: SessionId
    revision_id: RevisionId | None
    status: SessionStatus
    health: HealthStatus
    was_healthy: bool
    kernel_state: KernelState | None
    reason: Reason
    created_at: datetime
    placed_at: datetime | None = None
    drain_deadline: datetime | None = None
    released: bool = False
    """Whether every app-proxy has applied its drain and has no request open on it."""
    lost: bool = False
    """Whether its machine is silent."""
    failures: int = 0
    """Consecutive failed health checks."""
    healthy_at: datetime | None = None
    """Time when it first became healthy."""
    makes_room: bool = False
    """Whether a waiting replica of the current revision would find a machine if this one were gone."""
    moving: bool = False
    """Whether another replica is to take its place: its machine is being drained and it is its service's turn, or a user
    asked for it.
    """
    asked: bool = False
    """Whether a user asked for its replacement."""
    idle: bool = False
    """Whether it was started without requests, until a blue-green rollout switches."""
    settling: bool = False
    """Whether it serves, but not for `min_ready_s` yet."""

    @property
    def began_at(self) -> datetime:
        """Time at which its start began: it may have waited for a machine before."""
        return self.placed_at or self.created_at

    @property
    def dead(self) -> bool:
        """Whether its container exited, or failed to start."""
        return self.kernel_state in {"exited", "failed"}

    @property
    def stopped_with_agent(self) -> bool:
        """Whether it ended because its agent was stopped in order, and its containers with it: nothing failed."""
        return self.dead and self.reason.code == KernelReason.AGENT_STOPPED

    @property
    def perhaps_serving(self) -> bool:
        """Whether it was serving in the last report of its machine."""
        return states.ready(self.status, self.kernel_state, self.health)

    @property
    def serving(self) -> bool:
        """Whether it takes new requests for certain."""
        return states.serving(self.status, self.kernel_state, self.health, lost=self.lost)

    @property
    def available(self) -> bool:
        """Whether it serves, and may take the place of another one."""
        return self.serving and not self.settling

    @property
    def ill(self) -> bool:
        """Whether it needs a replacement: unhealthy, or on a silent machine."""
        return self.health == "unhealthy" or self.lost


@dataclass(frozen=True)
class Create:
    """Create a pending session of this revision."""

    revision_id: RevisionId
    idle: bool = False
    """Without requests, until a blue-green rollout switches."""


@dataclass(frozen=True)
class Retire:
    """Move a session to `draining` (until `deadline`), `stopping` or `ended`."""

    id: SessionId
    status: Literal["draining", "stopping", "ended"]
    reason: Reason
    deadline: datetime | None = None


@dataclass(frozen=True)
class Failed:
    """Record and count a failed start, and delay the next one."""

    id: SessionId
    reason: Reason
    failed_starts: int
    next_start_at: datetime
    fresh: bool = False
    """Whether it is the first of a new round: replicas started together count as one failed start, and are one event."""


EndCause = Literal["exited", "unhealthy"]
"""Cause of the end of a replica in operation: its container exited, or its health checks failed and it was replaced."""


@dataclass(frozen=True)
class Ended:
    """Record and count a replica that ended in operation, or one of the previously serving revision that failed to start."""

    id: SessionId
    reason: Reason
    ends: int
    held: int
    next_restart_at: datetime | None
    counted: bool = True
    """Whether it counts for the backoff; one that drained, or that an update replaces anyway, does not."""
    cause: EndCause = "exited"


@dataclass(frozen=True)
class Recovered:
    """Reset the failure count: a start after the last failure succeeded."""


@dataclass(frozen=True)
class Served:
    """Record this revision as the serving one: no other one serves."""

    revision_id: RevisionId


@dataclass(frozen=True)
class RollBack:
    """Roll back: make the revision that served before the current one again, because the rollout failed."""

    revision_id: RevisionId
    reason: Reason


@dataclass(frozen=True)
class FailRollout:
    """Record that the rollout failed; the revision that served before goes on serving."""

    reason: Reason


@dataclass(frozen=True)
class Advance:
    """Record that so many steps of the rollout are over."""

    step: int


@dataclass(frozen=True)
class Reveal:
    """Send requests to these replicas, which had none until now."""

    ids: tuple[SessionId, ...]


Action = Create | Retire | Failed | Ended | Recovered | Served | RollBack | FailRollout | Advance | Reveal
