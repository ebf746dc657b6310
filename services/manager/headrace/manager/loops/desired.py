"""Desired replicas of a service, from its row.

Settings that this version cannot read cost the service its turn, and no other one.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.rollout import Rollout
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replicas import DesiredReplicas
from headrace.manager.domain.records.sessions import LiveSession, ServiceRow


def settled(service: ServiceRow, rows: Sequence[LiveSession]) -> bool:
    """Whether only a change can make something to do: time alone, or an app-proxy's word, does not."""
    if service.goal != "running":
        return not rows
    under_way = service.failed_starts or service.next_start_at is not None or len(rows) != service.wanted
    return not under_way and all(
        row.revision_id == service.revision_id
        and row.status in states.ACTIVE
        and row.health != "unhealthy"
        and not row.lost
        for row in rows
    )


def desired_replicas(service: ServiceRow) -> DesiredReplicas:
    """Return what is wanted of it. Raises ValueError for settings that this version cannot read."""
    rollout = Rollout.model_validate(service.rollout)
    return DesiredReplicas(
        goal=service.goal,
        replicas=service.wanted,
        revision_id=service.revision_id,
        drain_grace_s=service.drain_grace_s,
        failed_starts=service.failed_starts,
        next_start_at=service.next_start_at,
        last_failed_at=service.last_failed_at,
        served=service.served_revision_id,
        ends=service.ends,
        held=service.ends_held,
        next_restart_at=service.next_restart_at,
        last_end_at=service.last_end_at,
        max_unavailable=rollout.max_unavailable,
        roll_back=rollout.on_failure == "roll-back",
    )
