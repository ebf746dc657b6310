"""Session states: the table of transitions, and predicates (live, active, planned, serving). Pure.

One definition for all: placement, plans, route tables, status and quotas ask whether a session is live, active, planned
or serving, and definitions of their own would diverge sooner or later. SQL asks the views of the same names
(`live_sessions`, `active_sessions`, `planned_sessions`, `serving_sessions`); a test compares views and predicates on
rows of every kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, SessionStatus

SILENT: Final = Reason.of(SessionReason.AGENT_LOST, "its machine is silent")
"""Reason for the end of a session on a silent machine, which nobody can stop."""

Leaving = Literal["draining", "stopping", "ended"]
"""States of a session that is leaving."""

STATES: Final[tuple[SessionStatus, ...]] = get_args(SessionStatus)

MEANING: Final[Mapping[SessionStatus, str]] = {
    "pending": "wanted; waits for a machine",
    "placed": "in the machine's plan",
    "running": "its main kernel runs; health decides on traffic",
    "draining": "no new requests; open ones finish",
    "stopping": "no longer in the plan",
    "ended": "gone; what it held of the machine is free once the machine shows it no more",
}
"""Meaning of each state, for the docs."""

TRANSITIONS: Final[Mapping[SessionStatus, Mapping[SessionStatus, str]]] = {
    "pending": {
        "placed": "placement found a machine: allocation and status in one transaction",
        "ended": "it is wanted no more; nothing of it ran",
    },
    "placed": {
        "running": "its agent reports that the main kernel runs",
        "stopping": "it is wanted no more, or did not start",
        "ended": "it is wanted no more, and its machine is silent; or that was removed",
    },
    "running": {
        "draining": "surplus, update or stop of a replica that served",
        "stopping": "surplus, update or stop of one that never served; it failed; a trial run has its verdict",
        "ended": "it is wanted no more, and its machine is silent; or that was removed",
    },
    "draining": {
        "stopping": "no live app-proxy has an open request on it, the grace is over, or its container ended",
        "ended": "its machine is silent, or was removed",
    },
    "stopping": {
        "ended": "the agent, having applied the plan without it, no longer shows the kernel; or its machine is silent",
    },
    "ended": {},
}
"""Transition table: state → next states, with the cause of each. There is no way back."""

ACTIVE: Final[frozenset[SessionStatus]] = frozenset({"pending", "placed", "running"})
"""States before and while serving: such sessions count as wanted replicas."""
PLANNED: Final[frozenset[SessionStatus]] = frozenset({"placed", "running", "draining"})
"""States in which the session is in its machine's plan."""
STAGES: Final[tuple[SessionStatus, ...]] = ("pending", "placed", "running")
"""Active states, in order."""


def live(status: SessionStatus) -> bool:
    """Return whether it may still hold anything: slots of a machine, a container, open requests."""
    return status != "ended"


def leaving(status: SessionStatus) -> bool:
    """Return whether it is draining, stopping or ended."""
    return status not in ACTIVE


def ready(status: SessionStatus, kernel: KernelState | None, health: HealthStatus) -> bool:
    """Return whether new requests may go to it, by its machine's last report."""
    return status == "running" and kernel == "running" and health == "healthy"


def serving(status: SessionStatus, kernel: KernelState | None, health: HealthStatus, *, lost: bool) -> bool:
    """Return whether it takes new requests for certain: it is ready, and its machine is not silent."""
    return ready(status, kernel, health) and not lost


def exit_state(status: SessionStatus, *, served: bool, lost: bool) -> Leaving:
    """Return the most graceful next state of an active session that is no longer wanted.

    A session that was never placed ends, and so does one on a silent machine; one that never served stops; one that
    served drains.
    """
    if status == "pending" or lost:
        return "ended"
    return "draining" if served else "stopping"
