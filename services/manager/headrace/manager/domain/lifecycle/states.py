"""The life of a session: its states, what moves it from one to another, and what each state means to others. Pure.

One place for all of it: placement, plans, route tables, status and quotas ask whether a session is live, active, planned or
serving, and an answer of their own would differ sooner or later. SQL asks the views of the same names (`live_sessions`,
`active_sessions`, `planned_sessions`, `serving_sessions`); a test compares views and predicates on rows of every kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from headrace.common.contracts.messages.reports import HealthStatus, KernelState
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.common.contracts.vocabulary import SessionStatus

SILENT: Final = Reason.of(SessionReason.AGENT_LOST, "its machine is silent")
"""Why a session ends that nobody can stop."""

Leaving = Literal["draining", "stopping", "ended"]
"""The states on the way out."""

STATES: Final[tuple[SessionStatus, ...]] = get_args(SessionStatus)

MEANING: Final[Mapping[SessionStatus, str]] = {
    "pending": "wanted; waits for a machine",
    "placed": "in the machine's plan",
    "running": "its main kernel runs; health decides on traffic",
    "draining": "no new requests; open ones finish",
    "stopping": "no longer in the plan",
    "ended": "gone; what it held of the machine is free once the machine shows it no more",
}
"""What holds while a session is in a state."""

TRANSITIONS: Final[Mapping[SessionStatus, Mapping[SessionStatus, str]]] = {
    "pending": {
        "placed": "placement found a machine: allocation and status in one transaction",
        "ended": "it is wanted no more; nothing of it ran",
    },
    "placed": {
        "running": "its agent reports that the main kernel runs",
        "stopping": "it is wanted no more, or did not start",
        "ended": "it is wanted no more, and its machine is silent",
    },
    "running": {
        "draining": "surplus, update or stop of a replica that served",
        "stopping": "surplus, update or stop of one that never served; it failed; a trial run has its verdict",
        "ended": "it is wanted no more, and its machine is silent",
    },
    "draining": {
        "stopping": "every live app-proxy has let go of it, the grace is over, or its container ended",
        "ended": "its machine is silent",
    },
    "stopping": {
        "ended": "the agent, having applied the plan without it, no longer shows the kernel; or its machine is silent",
    },
    "ended": {},
}
"""From a state to those that may follow, and what moves a session there. There is no way back."""

ACTIVE: Final[frozenset[SessionStatus]] = frozenset({"pending", "placed", "running"})
"""On the way to serving, or there: counted as one of the wanted replicas."""
PLANNED: Final[frozenset[SessionStatus]] = frozenset({"placed", "running", "draining"})
"""In the plan of its machine."""
STAGES: Final[tuple[SessionStatus, ...]] = ("pending", "placed", "running")
"""The active states, in the order in which a session comes through them."""


def live(status: SessionStatus) -> bool:
    """Whether it may still hold something: a machine's slots, a container, open requests."""
    return status != "ended"


def leaving(status: SessionStatus) -> bool:
    """Whether it is on its way out, or gone."""
    return status not in ACTIVE


def ready(status: SessionStatus, kernel: KernelState | None, health: HealthStatus) -> bool:
    """Whether new requests may go to it, by what its machine said last."""
    return status == "running" and kernel == "running" and health == "healthy"


def serving(status: SessionStatus, kernel: KernelState | None, health: HealthStatus, *, lost: bool) -> bool:
    """Whether it surely takes new requests: it is ready, and its machine is not silent."""
    return ready(status, kernel, health) and not lost


def way_out(status: SessionStatus, *, served: bool, lost: bool) -> Leaving:
    """Return the gentlest next state of an active session that is wanted no more.

    What was never placed ends, and so does what a silent machine had; what never served stops; what served drains.
    """
    if status == "pending" or lost:
        return "ended"
    return "draining" if served else "stopping"
