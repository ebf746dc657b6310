"""Health check state machine of a main kernel: when to probe, and what the results mean.

For `initial_delay` seconds from the start of the program it is degraded. Then one probe that can only help: a success
makes it healthy, a failure is not counted. Then one counted check every `interval`. More than `max_retries` failures in
a row make it unhealthy, until one success. So a program that never answers is unhealthy after exactly initial_delay +
interval × (max_retries + 1), and one that stops answering interval × (max_retries + 1) after its last good answer
(later by as much as a failing check takes, at most max_wait_time).

Until the first success there are extra probes between those checks, so that a replica serves a moment after it can and
not up to `interval` later. They begin at the end of the initial delay, and can only help: their failures neither count
nor hide the failure of a counted check.

Checks may overlap when answers take longer than `interval`; an answer to a check older than the newest one answered is
dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt

from headrace.common.contracts.model import HealthCheck
from headrace.common.contracts.reasons import MAX_QUOTED, Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.vocabulary import HealthStatus

LOOK_S = 0.1
"""Pause between extra probes until the first success. One costs well under a millisecond while nothing listens yet."""
MIN_CONCURRENT_CHECKS, MAX_CONCURRENT_CHECKS = 8, 64


@dataclass(frozen=True, slots=True)
class Policy:
    """Health check policy of a kernel: interval, retries, initial delay. Times in seconds."""

    what: str
    """Name of the probe in reasons: `GET /health`, or `connection to its port`."""
    interval_s: float
    max_retries: int
    initial_delay_s: float
    by_port: bool = False
    """Readiness by port: until the first success no failure counts, and `open_within_s` bounds how long that may take."""
    open_within_s: float = math.inf
    """Time within which the port must open, from the start of the program."""

    @property
    def most_at_once(self) -> int:
        """Bound on concurrent checks, when answers take longer than `interval`; a check above it is left out.

        As many as decide the state, plus the one before them, within a bound: otherwise a hanging program would become
        unhealthy later than its definition says.
        """
        return min(MAX_CONCURRENT_CHECKS, max(MIN_CONCURRENT_CHECKS, self.max_retries + 2))

    @classmethod
    def of(cls, check: HealthCheck | None, *, open_within_s: float = math.inf) -> Policy:
        """Return the policy of a definition's health_check.

        Without one, the kernel is ready when its port accepts a connection.
        """
        if check is None:
            return cls("connection to its port", 1.0, 0, 0.0, by_port=True, open_within_s=open_within_s)
        return cls(f"GET {check.path}", check.interval, check.max_retries, check.initial_delay)


@dataclass(frozen=True, slots=True)
class Check:
    """A health check in flight."""

    started_at: datetime
    counts: bool
    """Whether a failure counts."""
    extra: bool = False
    """Extra probe between the counted checks, until the first success."""


class Health(BaseModel):
    """Health state of one kernel, and when to probe next. Kept on disk, so that it survives the agent."""

    model_config = ConfigDict(frozen=True)
    status: HealthStatus = "degraded"
    reason: Reason
    failures: NonNegativeInt = 0
    """Consecutive counted failures."""
    was_healthy: bool = False
    next_check_at: AwareDatetime
    next_look_at: AwareDatetime | None = None
    """Time of the next extra probe, until the first success; None before the first check."""
    look: bool = True
    """Whether a failure of the next check does not count."""
    heard_at: AwareDatetime | None = None
    """Start time of the newest check that was answered."""


def begin(policy: Policy, started_at: datetime) -> Health:
    """Return the initial health of a program that started at `started_at`."""
    first = started_at + timedelta(seconds=policy.initial_delay_s)
    if policy.by_port:
        reason = Reason.of(KernelReason.WAITING_FOR_PORT, "it does not accept connections on its port yet")
    else:
        when = first.isoformat(timespec="seconds")
        reason = Reason.of(
            KernelReason.INITIAL_DELAY, f"no health checks before {when} (initial_delay {policy.initial_delay_s:g} s)"
        )
    return Health(reason=reason, next_check_at=first)


def resume(health: Health, now: datetime) -> Health:
    """Return the health of an adopted kernel: unchanged, with a probe at once unless its initial delay still runs."""
    if health.reason.code == KernelReason.INITIAL_DELAY and health.next_check_at > now:
        return health
    return health.model_copy(update={"next_check_at": now, "next_look_at": None, "look": True, "heard_at": None})


def due_at(health: Health) -> datetime:
    """Return the time of the next probe."""
    if health.next_look_at is None or health.was_healthy or health.status != "degraded":
        return health.next_check_at
    return min(health.next_check_at, health.next_look_at)


def start_check(policy: Policy, health: Health, now: datetime) -> tuple[Health, Check]:
    """Return the check that is due, and the health that schedules the next one.

    Times stay on the grid of `interval`; the grid starts anew after a suspend of the machine, or when its clock was set
    back.
    """
    look_at = now + timedelta(seconds=LOOK_S)
    if due_at(health) < health.next_check_at and now < health.next_check_at:
        return health.model_copy(update={"next_look_at": look_at}), Check(started_at=now, counts=False, extra=True)
    following = health.next_check_at + timedelta(seconds=policy.interval_s)
    if not now < following <= now + timedelta(seconds=2 * policy.interval_s):  # a timer may be a moment early
        following = now + timedelta(seconds=policy.interval_s)
    heard_at = health.heard_at if health.heard_at is not None and health.heard_at <= now else None
    check = Check(started_at=now, counts=not health.look and (health.was_healthy or not policy.by_port))
    changes = {"next_check_at": following, "next_look_at": look_at, "look": False, "heard_at": heard_at}
    return health.model_copy(update=changes), check


def finish_check(policy: Policy, health: Health, check: Check, *, passed: bool, detail: str) -> Health:
    """Return the health after the result of `check`; `detail` describes the result."""
    if health.heard_at is not None and check.started_at < health.heard_at:
        return health
    said = detail[:MAX_QUOTED]
    if passed:
        changes: dict[str, object] = {
            "status": "healthy",
            "failures": 0,
            "was_healthy": True,
            "reason": _passed(policy, said),
        }
    elif not check.counts:
        changes = {"reason": _not_yet(policy, said, health.failures)} if health.status == "degraded" else {}
        if check.extra:
            return health.model_copy(update=changes)
    else:
        changes = _failed(policy, health, said)
    return health.model_copy(update={**changes, "heard_at": check.started_at})


def port_timed_out(policy: Policy, health: Health, check: Check, started_at: datetime) -> Health:
    """Return the health of a program started at `started_at`: unhealthy if its port did not open within the time allowed."""
    waits = policy.by_port and health.status == "degraded" and not health.was_healthy
    if not waits or (check.started_at - started_at).total_seconds() < policy.open_within_s:
        return health
    text = (
        f"its port did not open within {policy.open_within_s:g} s (the agent's port_open_timeout): {health.reason.text}"
    )
    return health.model_copy(update={"status": "unhealthy", "reason": Reason.of(KernelReason.PORT_NEVER_OPENED, text)})


def foreign_answer(health: Health, check: Check, words: str) -> Health:
    """Return the health after another program answered on the kernel's port: unhealthy at once, whatever it was before."""
    if health.heard_at is not None and check.started_at < health.heard_at:
        return health
    reason = Reason.of(KernelReason.PORT_TAKEN, words[:MAX_QUOTED])
    return health.model_copy(update={"status": "unhealthy", "reason": reason, "heard_at": check.started_at})


def _failed(policy: Policy, health: Health, said: str) -> dict[str, object]:
    failures = health.failures + 1
    if failures > policy.max_retries:
        code = KernelReason.PORT_CLOSED if policy.by_port else KernelReason.HEALTH_CHECK_FAILED
        text = f"{policy.what} failed {_times(failures)} in a row (allowed: {policy.max_retries}): {said}"
        return {"status": "unhealthy", "failures": failures, "reason": Reason.of(code, text)}
    if health.status == "degraded":
        return {"failures": failures, "reason": _not_yet(policy, said, failures)}
    text = f"{policy.what} failed {_times(failures)} in a row (allowed: {policy.max_retries}): {said}"
    code = KernelReason.HEALTH_CHECK_FAILING if health.status == "healthy" else KernelReason.HEALTH_CHECK_FAILED
    return {"failures": failures, "reason": Reason.of(code, text)}


def _times(number: int) -> str:
    return f"{number} time" if number == 1 else f"{number} times"


def _passed(policy: Policy, said: str) -> Reason:
    code = KernelReason.PORT_OPEN if policy.by_port else KernelReason.HEALTH_CHECK_PASSED
    return Reason.of(code, f"{policy.what}: {said}")


def _not_yet(policy: Policy, said: str, failures: int) -> Reason:
    if policy.by_port:
        return Reason.of(KernelReason.WAITING_FOR_PORT, f"it does not accept connections on its port yet: {said}")
    return Reason.of(
        KernelReason.NOT_YET_HEALTHY,
        f"{policy.what} has not succeeded yet (failures counted: {failures}, allowed: {policy.max_retries}): {said}",
    )
