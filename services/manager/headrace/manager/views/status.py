"""Views of the status of the installation."""

from __future__ import annotations

from datetime import datetime

from headrace.common.contracts.http.status import AgentCounts, InstallationStatus, PartView
from headrace.manager.domain.installation import Assessment, PartState
from headrace.manager.domain.records.instances import Machines


def installation_status(found: Assessment, at: datetime, answered_by: str, machines: Machines) -> InstallationStatus:
    """Return the status of the installation."""
    return InstallationStatus(
        status="degraded" if found.degraded else "healthy",
        at=at,
        answered_by=answered_by,
        reasons=found.reasons,
        parts=tuple(_part(part) for part in found.parts),
        agents=AgentCounts(alive=machines.total - machines.lost, lost=machines.lost),
    )


def _part(part: PartState) -> PartView:
    return PartView(
        kind=part.kind,
        name=part.name,
        status=part.status,
        version=part.version or None,
        host=part.host,
        address=part.address,
        since=part.since,
        reasons=part.reasons,
        facts=dict(part.facts or {}),
    )
