"""What to do about the replicas of one service, so that what runs becomes what is wanted. Pure.

- Start, wait for healthy, drain, stop: nothing that serves is taken away before enough others serve.
- Worst go first. A replica whose container ended is replaced at once, in every state.
- An unhealthy replica gets a replacement and stays until enough others are healthy, because one success brings it back;
  but when the replacement has found no machine for `GIVE_WAY_AFTER`, it makes room.
- An update starts new ones, at most a quarter (at least one) above the wanted number, and drains an old one for each that
  serves. When the new revision does not start, the old ones stay.
- A replica whose machine fell silent gets a replacement at once, and stays routed until enough others serve: its agent may
  be gone while its container still answers, which only the app-proxy can see.
- Failed starts are tried again after 1, 2, 4, 8 … seconds; after five rounds in a row nothing is started until somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from headrace.common.contracts.http.services import SessionStatus
from headrace.common.contracts.ids import RevisionId, SessionId
from headrace.common.contracts.messages.reports import HealthStatus, KernelState
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.records import Goal
from headrace.manager.domain.status import MAX_FAILED_STARTS

MAX_BACKOFF_S = 60.0
GIVE_WAY_AFTER = timedelta(seconds=60)
"""An ill replica leaves when its replacement has waited this long for a machine: it may hold what that needs."""

CUT_FIRST = timedelta(seconds=2)
"""App-proxies tell and cut what is open at a drain's deadline; one that has not said so by then is not waited for."""


@dataclass(frozen=True)
class Wanted:
    """A service as the decision needs it."""

    goal: Goal
    replicas: int
    revision_id: RevisionId
    drain_grace_s: float
    failed_starts: int = 0
    next_start_at: datetime | None = None
    last_failed_at: datetime | None = None


@dataclass(frozen=True)
class Seen:
    """A live session with its main kernel."""

    id: SessionId
    revision_id: RevisionId | None
    status: SessionStatus
    health: HealthStatus
    was_healthy: bool
    kernel_state: KernelState | None
    reason: Reason
    created_at: datetime
    drain_deadline: datetime | None = None
    let_go: bool = False
    """Every app-proxy knows that it drains, and has no request open on it."""
    lost: bool = False
    """Its machine is silent."""

    @property
    def dead(self) -> bool:
        """Whether its container ended, or never came to be."""
        return self.kernel_state in {"exited", "failed"}

    @property
    def perhaps_serving(self) -> bool:
        """Whether it served when its machine was last heard of."""
        return self.status == "running" and self.kernel_state == "running" and self.health == "healthy"

    @property
    def serving(self) -> bool:
        """Whether it surely takes new requests."""
        return self.perhaps_serving and not self.lost

    @property
    def ill(self) -> bool:
        """Whether it takes nobody's place: it does not answer, or nobody can say whether it does."""
        return self.health == "unhealthy" or self.lost


@dataclass(frozen=True)
class Create:
    """Make a pending session of this revision."""

    revision_id: RevisionId


@dataclass(frozen=True)
class Leave:
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
class Recovered:
    """A start after the last failure ended well: count from zero again."""


Action = Create | Leave | Failed | Recovered


def decide(want: Wanted, have: Sequence[Seen], now: datetime) -> list[Action]:
    """Return the actions that bring `have` nearer to `want`; none once they agree."""
    actions: list[Action] = []
    alive: list[Seen] = []
    failed: list[Seen] = []
    for replica in have:
        ended = _ended(replica, now)
        if ended is None:
            alive.append(replica)
            continue
        actions.append(ended)
        if _counts_as_failed_start(want, replica):
            failed.append(replica)
    actions += _failures(want, failed, now)
    active = [r for r in alive if r.status in {"pending", "placed", "running"}]
    if want.goal != "running":
        return [
            *actions,
            *(
                _dismiss(want, r, now, Reason(code=f"service-{want.goal}", text=f"the service is {want.goal}"))
                for r in active
            ),
        ]
    if not failed:
        actions += _recovery(want, active)
    waiting = (
        bool(failed)
        or want.failed_starts >= MAX_FAILED_STARTS
        or (want.next_start_at is not None and now < want.next_start_at)
    )
    return [*actions, *_surplus(want, active, now), *(() if waiting else _missing(want, active))]


def _ended(replica: Seen, now: datetime) -> Leave | None:
    """What holds for every session whatever is wanted: the dead, the lost, the drained."""
    if replica.lost and not replica.perhaps_serving:
        return Leave(replica.id, "ended", _SILENT)
    if replica.status == "stopping":
        return None
    if replica.dead:
        return Leave(replica.id, "stopping", replica.reason)
    if replica.status == "draining":
        if replica.let_go:
            return Leave(replica.id, "stopping", Reason(code="drained", text="no request is open on it any more"))
        if replica.drain_deadline is None or now >= replica.drain_deadline + CUT_FIRST:
            return Leave(
                replica.id,
                "stopping",
                Reason(code="drain-grace-over", text="requests were still open when the drain's grace was over"),
            )
        return None
    if replica.health == "unhealthy" and not replica.was_healthy:
        return Leave(replica.id, "stopping", replica.reason)
    return None


def _counts_as_failed_start(want: Wanted, replica: Seen) -> bool:
    return (
        want.goal == "running"
        and not replica.lost
        and not replica.was_healthy
        and replica.status in {"placed", "running"}
        and replica.revision_id == want.revision_id
    )


def _failures(want: Wanted, failed: Sequence[Seen], now: datetime) -> list[Failed]:
    """Keep every error, but count a round once: replicas that were started together fail together, for one reason."""
    fresh = any(want.last_failed_at is None or r.created_at > want.last_failed_at for r in failed)
    count = want.failed_starts + fresh
    return [Failed(r.id, r.reason, count, now + _backoff(count)) for r in failed]


def _backoff(failures: int) -> timedelta:
    return timedelta(seconds=min(MAX_BACKOFF_S, 2.0 ** min(failures - 1, 10)))


def _recovery(want: Wanted, active: Sequence[Seen]) -> list[Action]:
    if not want.failed_starts:
        return []
    newer = (r for r in active if r.serving and r.revision_id == want.revision_id)
    return (
        [Recovered()] if any(want.last_failed_at is None or r.created_at > want.last_failed_at for r in newer) else []
    )


def _missing(want: Wanted, active: Sequence[Seen]) -> list[Action]:
    """Start what is missing of the current revision; during an update at most a quarter (at least one) above the wanted number."""
    current = [r for r in active if r.revision_id == want.revision_id and not r.ill]
    missing = want.replicas - len(current)
    others = sum(r.serving for r in active if r.revision_id != want.revision_id)
    if others:
        surge = max(1, want.replicas // 4)
        missing = min(missing, want.replicas + surge - len(current) - others)
    return [Create(want.revision_id)] * max(0, missing)


def _surplus(want: Wanted, active: Sequence[Seen], now: datetime) -> list[Action]:
    serving = sum(r.serving for r in active)
    updated = Reason(code="replaced-by-update", text="a newer revision takes its place")
    leaving: list[Action] = []
    for replica in sorted((r for r in active if r.revision_id != want.revision_id), key=_worst_first):
        if replica.serving and serving > want.replicas:
            serving -= 1
            leaving.append(_dismiss(want, replica, now, updated))
        elif not replica.was_healthy:
            leaving.append(_dismiss(want, replica, now, updated))
    good = sorted((r for r in active if r.revision_id == want.revision_id and not r.ill), key=_worst_first)
    too_many = Reason(code="scaled-in", text=f"{want.replicas} replicas are wanted")
    excess = max(0, len(good) - want.replicas)
    leaving += [_dismiss(want, r, now, too_many) for r in good[:excess]]
    cramped = sum(r.status == "pending" and now - r.created_at >= GIVE_WAY_AFTER for r in good[excess:])
    return [*leaving, *_replaced(want, active, serving, cramped, now)]


def _replaced(want: Wanted, active: Sequence[Seen], serving: int, cramped: int, now: datetime) -> list[Leave]:
    """Dismiss those that served once and do not now, when enough others serve or `cramped` replacements need their place.

    As many are kept as could fill the gap by coming back, so that a fleet that falls ill again and again does not grow.
    """
    ill = [r for r in active if r.was_healthy and not r.serving and (r.ill or r.revision_id != want.revision_id)]
    kept = max(0, min(want.replicas - serving, len(ill) - cramped))
    replaced = Reason(code="unhealthy-replaced", text="it did not answer, and another takes its place")
    worst = sorted(ill, key=lambda r: (r.revision_id == want.revision_id, *_worst_first(r)))
    return [_dismiss(want, r, now, replaced) for r in worst[: len(ill) - kept]]


_SILENT = Reason(code="agent-lost", text="its machine is silent")
_STAGES: tuple[SessionStatus, ...] = ("pending", "placed", "running")


def _worst_first(replica: Seen) -> tuple[bool, int, int, float]:
    """Order: not placed, placed, unhealthy, degraded, healthy; the youngest first among equals."""
    health = ("unhealthy", "degraded", "healthy").index(replica.health)
    return (replica.serving, _STAGES.index(replica.status), health, -replica.created_at.timestamp())


def _dismiss(want: Wanted, replica: Seen, now: datetime, reason: Reason) -> Leave:
    """The gentlest way out: what was never placed ends, what never served stops, what serves drains."""
    if replica.status == "pending":
        return Leave(replica.id, "ended", reason)
    if replica.lost:
        return Leave(replica.id, "ended", _SILENT)
    if not replica.was_healthy:
        return Leave(replica.id, "stopping", reason)
    return Leave(replica.id, "draining", reason, now + timedelta(seconds=want.drain_grace_s))
