"""Input and output types of the replica decision: desired and observed state of a service's replicas, and actions.

They are apart from the decision so that the loop and the store can use them without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace.common.contracts.ids import RevisionId, SessionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, SessionStatus
from headrace.manager.domain.lifecycle import states
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
    served: RevisionId | None = None
    """Last revision that served alone. It is kept running while the current one does not start."""
    ends: int = 0
    """Consecutive ends in operation."""
    held: int = 0
    """Number of replacements that wait until `next_restart_at`."""
    next_restart_at: datetime | None = None
    last_end_at: datetime | None = None
    max_unavailable: Literal[0, 1] = 1
    """Number of serving replicas that a rollout may remove when it finds no machine for a new one otherwise."""
    roll_back: bool = False
    """Whether a failed rollout is rolled back."""

    @property
    def gave_up(self) -> bool:
        """Whether the current revision has failed too often, and is not started again before a retry is requested."""
        return self.failed_starts >= MAX_FAILED_STARTS

    @property
    def before(self) -> RevisionId | None:
        """Revision that served before the current one, until the current one serves alone; None otherwise."""
        return self.served if self.served != self.revision_id else None


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
    """Whether its machine is being drained, and it is its service's turn."""

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
    def ill(self) -> bool:
        """Whether it needs a replacement: unhealthy, or on a silent machine."""
        return self.health == "unhealthy" or self.lost


@dataclass(frozen=True)
class Create:
    """Create a pending session of this revision."""

    revision_id: RevisionId


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


Action = Create | Retire | Failed | Ended | Recovered | Served | RollBack
