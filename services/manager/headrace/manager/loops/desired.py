"""Desired replicas of a service, from its row.

A row whose settings this version cannot read fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.rollout import Rollout
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replicas import DesiredReplicas
from headrace.manager.domain.records.sessions import LiveSession, ReconciledService


def settled(service: ReconciledService, rows: Sequence[LiveSession]) -> bool:
    """Return whether only a change can give the services loop work: neither time nor an app-proxy's report will."""
    if service.goal != "running":
        return not rows
    under_way = service.failed_starts or service.next_start_at is not None or len(rows) != service.wanted
    return not under_way and all(
        row.revision_id == service.revision_id
        and row.status in states.ACTIVE
        and row.health != "unhealthy"
        and not row.lost
        and not row.moving
        and row.replace_asked_at is None
        and not row.idle
        for row in rows
    )


def desired_replicas(service: ReconciledService) -> DesiredReplicas:
    """Return the desired replicas of a service. Raises ValueError for settings that this version cannot read."""
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
        rollout=rollout,
        state=service.state,
    )
