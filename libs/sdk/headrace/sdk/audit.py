"""The audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from headrace.common.contracts.http.audit import AuditEntry
from headrace.sdk.transport import Transport


class Audit:
    """Client of `/v1/audit`: every change in the installation (operators), or in a project (its owners)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        project: str | None = None,
        service: object = None,
        agent: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """Yield changes that match, newest first. `action`: as `agent.cordoned`, or `agent.*` for several."""
        query = {
            "project": project,
            "service": None if service is None else str(service),
            "agent": agent,
            "actor": actor,
            "action": action,
            "since": since.isoformat() if since is not None else None,
            "until": until.isoformat() if until is not None else None,
        }
        return self._transport.items(AuditEntry, "/v1/audit", query)
