"""Restart backoff: counting of failed starts and of crashes, and the delay before the next start. Pure.

Failed starts of a new revision are bounded, since it may never run; crashes of one that served are not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from headrace.common.contracts.ids import RevisionId
from headrace.manager.domain.lifecycle.replica_state import DesiredReplicas, Ended, Failed, ObservedReplica, Recovered

MAX_BACKOFF_S = 60.0
RAN_WELL = timedelta(minutes=10)
"""A replica that was healthy this long before it ends resets the backoff (as in Kubernetes)."""


def is_failed_start(want: DesiredReplicas, replica: ObservedReplica, now: datetime) -> bool:
    """Return whether a dead replica never served although it should have; or, in a rollout, not for `min_ready_s`."""
    return (
        want.goal == "running"
        and not replica.lost
        and not replica.stopped_with_agent
        and (not replica.was_healthy or settling(want, replica, now))
        and replica.status in {"placed", "running"}
        and replica.revision_id == want.revision_id
    )


def settling(want: DesiredReplicas, replica: ObservedReplica, now: datetime) -> bool:
    """Return whether a replica of the new revision served for less than `min_ready_s`: it takes nobody's place yet."""
    if want.before is None or replica.revision_id != want.revision_id or replica.healthy_at is None:
        return False
    return now - replica.healthy_at < timedelta(seconds=want.rollout.min_ready_s)


def is_end(want: DesiredReplicas, replica: ObservedReplica, now: datetime) -> bool:
    """Return whether a dead replica ended in operation, or failed to start although its revision had served."""
    if want.goal != "running" or replica.lost or replica.stopped_with_agent:
        return False
    if replica.status not in {"placed", "running", "draining"} or is_failed_start(want, replica, now):
        return False
    if replica.was_healthy:
        return replica.dead
    return replica.revision_id == want.before and replica.status != "draining"


def is_unhealthy_end(replica: ObservedReplica) -> bool:
    """Return whether a replica that leaves ended in operation by its health checks: it served, runs, and fails them."""
    return replica.was_healthy and replica.health == "unhealthy" and not replica.dead and not replica.lost


def failures(want: DesiredReplicas, failed: Sequence[ObservedReplica], now: datetime) -> list[Failed]:
    """Return the failed starts to record; replicas started together count once, because they fail for one reason."""
    fresh = any(want.last_failed_at is None or r.began_at >= want.last_failed_at for r in failed)
    count = want.failed_starts + fresh
    until = now + backoff(count)
    return [Failed(r.id, r.reason, count, until, fresh=fresh and at == 0) for at, r in enumerate(failed)]


def ends(
    want: DesiredReplicas, ended: Sequence[ObservedReplica], targets: Collection[RevisionId | None], now: datetime
) -> list[Ended]:
    """Return the ends in operation to record; those of `targets`, the revisions of their replacements, count, a round once.

    The first end in a row is replaced at once, the next after 1, 2, 4 … seconds. One that was replaced because its health
    checks failed delays nothing: its replacement was made while it could still have recovered.
    """
    counted = [r for r in ended if r.revision_id in targets and r.status != "draining"]
    count, held, until = want.ends, want.held, want.next_restart_at
    if counted:
        # a replacement is made in the moment in which the end is written down
        fresh = [r for r in counted if want.last_end_at is None or r.began_at >= want.last_end_at]
        first = bool(fresh) and all(_ran_well(r, now) for r in fresh)
        count = 1 if first else max(1, count + bool(fresh))
    missing = [r for r in counted if not is_unhealthy_end(r)]
    if missing:
        waiting = want.held if until is not None and now < until else 0
        held = waiting + len(missing) if count > 1 else 0
        until = now + backoff(count - 1) if count > 1 else None
    return [
        Ended(r.id, r.reason, count, held, until, counted=r in counted, cause="exited" if r.dead else "unhealthy")
        for r in ended
    ]


def _ran_well(replica: ObservedReplica, now: datetime) -> bool:
    return replica.healthy_at is not None and now - replica.healthy_at >= RAN_WELL


def backoff(times: int) -> timedelta:
    """Return the delay after `times` failures in a row: 1, 2, 4 … seconds, at most MAX_BACKOFF_S."""
    return timedelta(seconds=min(MAX_BACKOFF_S, 2.0 ** min(times - 1, 10)))


def recovery(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> list[Recovered]:
    """Return Recovered when a start of the current revision after its last failure succeeded."""
    ready = [r for r in active if r.available and r.revision_id == want.revision_id]
    if want.state.failed is not None:
        late = (r.healthy_at for r in ready if r.healthy_at is not None)
        return [Recovered()] if any(at >= (want.state.failed_at or at) for at in late) else []
    if not want.failed_starts:
        return []
    newer = any(want.last_failed_at is None or r.began_at > want.last_failed_at for r in ready)
    return [Recovered()] if newer else []
