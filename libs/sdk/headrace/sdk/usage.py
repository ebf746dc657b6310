"""Usage of callers and of machines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from headrace.common.contracts.http.usage import CallerUsage, UsageReport
from headrace.common.contracts.vocabulary import UsageBy, UsageStep
from headrace.sdk.transport import Transport, segment


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

    def callers(self, service: object, *, window: timedelta = timedelta(days=1)) -> Iterator[CallerUsage]:
        """Yield the tokens and clients that may call a service, with what each used in the window and has left."""
        query = {"window_s": int(window.total_seconds())}
        return self._transport.items(CallerUsage, f"/v1/services/{segment(service)}/callers", query)

    def project_callers(self, project: object, *, window: timedelta = timedelta(days=1)) -> Iterator[CallerUsage]:
        """Yield the tokens of a project, with what each used of all its services in the window and has left."""
        query = {"window_s": int(window.total_seconds())}
        return self._transport.items(CallerUsage, f"/v1/projects/{segment(project)}/callers", query)
