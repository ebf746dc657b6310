"""State and actions of the replica decision: what is wanted of a service's replicas, what is observed, what can be done.

They are apart from the decision so that the loop and the store know them without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace.common.contracts.ids import RevisionId, SessionId
from headrace.common.contracts.messages.reports import HealthStatus, KernelState
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.vocabulary import SessionStatus
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.records.services import Goal

MAX_FAILED_STARTS = 5
"""Starts that may fail in a row before a revision stops trying; the error stays until it is cleared."""


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
    """The revision that served last while no other one did. It is looked after while the current one does not start."""
    ends: int = 0
    """Ends in operation in a row."""
    held: int = 0
    """How many replacements of ended replicas wait until `next_restart_at`."""
    next_restart_at: datetime | None = None
    last_end_at: datetime | None = None
    max_unavailable: Literal[0, 1] = 1
    """How many replicas a rollout may give up when it finds no machine for a new one otherwise."""
    roll_back: bool = False
    """Whether a rollout that failed is rolled back."""

    @property
    def gave_up(self) -> bool:
        """Whether the current revision is not started any more until somebody asks."""
        return self.failed_starts >= MAX_FAILED_STARTS

    @property
    def before(self) -> RevisionId | None:
        """The revision that served before the current one, as long as that does not serve alone."""
        return self.served if self.served != self.revision_id else None


@dataclass(frozen=True)
class ObservedReplica:
    """Observed state of a live session with its main kernel."""

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
    """Every app-proxy knows that it drains, and has no request open on it."""
    lost: bool = False
    """Its machine is silent."""
    failures: int = 0
    """Health checks that failed in a row."""
    healthy_at: datetime | None = None
    """When it was healthy for the first time."""
    makes_room: bool = False
    """Whether a replica of the current revision that waits for a machine would find one if this one were gone."""

    @property
    def dead(self) -> bool:
        """Whether its container ended, or never came to be."""
        return self.kernel_state in {"exited", "failed"}

    @property
    def perhaps_serving(self) -> bool:
        """Whether it served when its machine was last heard of."""
        return states.ready(self.status, self.kernel_state, self.health)

    @property
    def serving(self) -> bool:
        """Whether it surely takes new requests."""
        return states.serving(self.status, self.kernel_state, self.health, lost=self.lost)

    @property
    def ill(self) -> bool:
        """Whether it takes nobody's place: it does not answer, or nobody can say whether it does."""
        return self.health == "unhealthy" or self.lost


@dataclass(frozen=True)
class Create:
    """Make a pending session of this revision."""

    revision_id: RevisionId


@dataclass(frozen=True)
class Retire:
    """Move a session on its way out: `draining` (until `deadline`), `stopping` or `ended`."""

    id: SessionId
    status: Literal["draining", "stopping", "ended"]
    reason: Reason
    deadline: datetime | None = None


@dataclass(frozen=True)
class Failed:
    """Keep the error of a failed start, count it, and wait with the next one."""

    id: SessionId
    reason: Reason
    failed_starts: int
    next_start_at: datetime


@dataclass(frozen=True)
class Ended:
    """Keep that a replica ended in operation (or that one of the revision that served before did not start), and count it."""

    id: SessionId
    reason: Reason
    ends: int
    held: int
    next_restart_at: datetime | None
    counted: bool = True
    """Whether it changes the counts; one that drained, or that an update replaces anyway, does not."""


@dataclass(frozen=True)
class Recovered:
    """A start after the last failure ended well: count from zero again."""


@dataclass(frozen=True)
class Served:
    """This revision serves, and no other one does: it is the one to look after."""

    revision_id: RevisionId


@dataclass(frozen=True)
class RollBack:
    """The rollout failed: make the revision that served before the current one again."""

    revision_id: RevisionId


Action = Create | Retire | Failed | Ended | Recovered | Served | RollBack
