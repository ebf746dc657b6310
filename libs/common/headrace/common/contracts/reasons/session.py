"""Why a session is in the state in which it is, where that is the manager's doing."""

from __future__ import annotations

from headrace.common.contracts.reasons import CodeOfOne


class SessionReason(CodeOfOne):
    """Sessions: why the manager placed, drained, stopped or ended a replica or trial run."""

    PLACED = "placed", "it has a machine, whose agent has not reported it yet"
    AGENT_LOST = "agent-lost", "its machine's agent does not report"
    AGENT_REMOVED = "agent-removed", "an operator removed its machine, which was gone"
    AGENT_DRAINED = "agent-drained", "its machine is being drained, and another replica replaces it"
    SCALED_IN = "scaled-in", "fewer replicas are wanted"
    REPLACED_BY_UPDATE = "replaced-by-update", "a newer revision replaces it"
    ROLLOUT_FAILED = "rollout-failed", "the rollout of its revision failed before it ran"
    REPLACED_BY_USER = "replaced-by-user", "a user asked for its replacement, which serves"
    MADE_ROOM_FOR_UPDATE = (
        "made-room-for-update",
        "its successor fitted on no machine otherwise, or `rollout.max_surge` is 0",
    )
    UNHEALTHY_REPLACED = "unhealthy-replaced", "it failed its health checks, and another replica replaces it"
    SERVICE_STOPPED = "service-stopped", "its service was stopped"
    SERVICE_DELETING = "service-deleting", "its service was deleted"
    DRAINED = "drained", "its drain has ended: all requests finished"
    DRAIN_GRACE_OVER = "drain-grace-over", "its drain has ended: requests were still open at the end of the grace"
    VALIDATION_PASSED = "validation-passed", "the trial run answered its health check"
    VALIDATION_FAILED = "validation-failed", "the trial run ended, or failed its health check"
    VALIDATION_TIMED_OUT = "validation-timed-out", "the trial run had no verdict before its time-out"
    STOPPED_BY_USER = "stopped-by-user", "a user stopped the trial run"
    UNKNOWN = "unknown", "its machine gave no reason"
