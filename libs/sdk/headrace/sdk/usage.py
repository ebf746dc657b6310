"""Usage of callers and of machines."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.common.contracts.http.usage import UsageReport
from headrace.common.contracts.vocabulary import UsageBy, UsageStep
from headrace.sdk.transport import Transport


class Usage:
    """Client of `/v1/usage`: requests and tokens of callers, hours of GPUs, cores and memory of replicas."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def report(
        self,
        *,
        project: str | None = None,
        service: object = None,
        by: UsageBy | None = None,
        step: UsageStep | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> UsageReport:
        """Return usage, by default of this month (UTC) and of all projects that the caller sees, all of it together."""
        query: dict[str, Any] = {
            "project": project,
            "service": None if service is None else str(service),
            "by": by,
            "step": step,
            "from": since.isoformat() if since is not None else None,
            "to": until.isoformat() if until is not None else None,
        }
        return self._transport.one(
            UsageReport, "GET", "/v1/usage", query={name: value for name, value in query.items() if value is not None}
        )
