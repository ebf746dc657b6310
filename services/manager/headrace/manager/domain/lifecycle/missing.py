"""Replicas to create: of the current revision, and of the one that served before while that is kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headrace.common.contracts.ids import RevisionId
from headrace.manager.domain.lifecycle.replica_state import Create, DesiredReplicas, ObservedReplica


def missing(
    want: DesiredReplicas, active: Sequence[ObservedReplica], kept: RevisionId | None, now: datetime, *, failed: bool
) -> list[Create]:
    """Return the replicas to create; during an update or a drain not more than those above the wanted number that it allows.

    `kept`: the revision that served before, while it is kept.
    """
    held = want.held if want.next_restart_at is not None and now < want.next_restart_at else 0
    most = want.replicas + _surge(want, active)
    before = 0
    if kept is not None:
        asked = _missing_before(want, active, kept, most)
        before = max(0, asked - held)
        held = max(0, held - asked) if want.gate is not None else 0  # what ended was of that revision
    older = [Create(kept)] * before if kept is not None else []
    waiting = failed or want.gave_up or (want.next_start_at is not None and now < want.next_start_at)
    if waiting:
        return older
    staying = sum(r.revision_id == want.revision_id and not r.ill and not r.moving for r in active)
    lacking = want.new_replicas - staying
    others = before + sum(
        not r.ill and (r.moving if r.revision_id == want.revision_id else r.was_healthy or r.revision_id == kept)
        for r in active
    )
    if others:
        lacking = min(lacking, most - staying - others)
    return [*older, *[Create(want.revision_id, idle=want.idle)] * max(0, lacking - held)]


def _surge(want: DesiredReplicas, active: Sequence[ObservedReplica]) -> int:
    """Return how many replicas above the wanted number there may be; at least one to replace single ones, as in a drain."""
    updating = any(r.was_healthy and r.revision_id != want.revision_id for r in active)
    return want.surge if updating and not want.gave_up else max(1, want.surge)


def _missing_before(want: DesiredReplicas, active: Sequence[ObservedReplica], kept: RevisionId, most: int) -> int:
    """Return how many replicas of the revision that served before to create, while it is kept."""
    usable = [r for r in active if not r.ill and not r.idle and (r.was_healthy or r.revision_id == kept)]
    staying = sum(not r.moving for r in usable)
    # where none may be started beside it, the place of one that failed is left to the next start
    there = want.replicas - (0 if want.surge or want.gave_up else want.max_unavailable)
    if want.gate is not None and not want.gave_up and not want.failed_starts:
        new = sum(r.revision_id == want.revision_id and not r.ill and not r.moving for r in active)
        usable = [r for r in usable if r.revision_id != want.revision_id]
        staying = sum(not r.moving for r in usable)
        there = min(want.gate.old, want.all_replicas - max(new, want.new_replicas))
        most -= max(new, want.new_replicas)
    lacking = max(0, there - staying)
    return lacking if staying == len(usable) else max(0, min(lacking, most - len(usable)))
