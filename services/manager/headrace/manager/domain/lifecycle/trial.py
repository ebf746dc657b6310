"""Verdict of trial runs. Pure.

A run passes if it was healthy once; one that never becomes healthy ends in bounded time.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headrace.common.contracts import stored
from headrace.common.contracts.model import HealthCheck
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replicas import ObservedReplica, Retire

PREPARATION = timedelta(minutes=30)
"""Time for pulling and loading, beside what the health check allows."""
WAITING = timedelta(minutes=5)
"""Time to find a machine: an abandoned trial run must not keep a machine from others."""


def decide(run: ObservedReplica, resolved: Mapping[str, Any], now: datetime) -> Retire | None:
    """Return how the run ends; None while it goes on. A run that was healthy once passes."""
    passed = Reason.of(SessionReason.VALIDATION_PASSED, "the model answered its health check")
    if states.leaving(run.status):
        return Retire(run.id, "ended", passed if run.was_healthy else run.reason) if run.lost else None
    if run.was_healthy:
        return Retire(run.id, "ended" if run.lost else "stopping", passed)
    if run.lost:
        return Retire(run.id, "ended", states.SILENT)
    if run.dead or run.health == "unhealthy":
        return Retire(
            run.id, "stopping", Reason.of(SessionReason.VALIDATION_FAILED, run.reason.text or run.reason.code)
        )
    allowed = WAITING if run.status == "pending" else _allowed(resolved)
    if now > run.created_at + allowed:
        text = f"no verdict after {allowed.total_seconds():.0f} s: {run.reason.text}"
        return Retire(
            run.id,
            "ended" if run.status == "pending" else "stopping",
            Reason.of(SessionReason.VALIDATION_TIMED_OUT, text),
        )
    return None


def _allowed(resolved: Mapping[str, Any]) -> timedelta:
    check = resolved.get("health_check")
    if check is None:
        return PREPARATION
    parsed = stored.read(HealthCheck, check, path="/")
    return PREPARATION + timedelta(seconds=parsed.initial_delay + parsed.interval * (parsed.max_retries + 1))
