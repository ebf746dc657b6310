"""Route of the audit log: who changed what, from where, and when."""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import StringConstraints

from headrace.common.contracts.http.audit import AuditEntry
from headrace.common.contracts.http.page import GivenTime, Page
from headrace.common.contracts.problems import Forbidden, NotFound
from headrace.common.contracts.wording import pattern
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply
from headrace.manager.domain.records.events import AuditFilter

routes = Routes("operation")

_ACTION: Final = pattern(
    r"^[a-z-]{1,40}(\.([a-z-]{1,40}|[a-z-]{0,40}\*)|\*)$",
    "an action as agent.cordoned, or the beginning of several and a star, as agent.*",
)
_Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class AuditQuery(Paging):
    """Query parameters of the audit log."""

    project: _Name | None = None
    """Name or id; also the id of one that is gone (operators)."""
    service: _Name | None = None
    """Name or id; also the id of one that is gone (operators)."""
    agent: _Name | None = None
    """Changes of this machine."""
    actor: _Name | None = None
    """Name of the user, or of the component."""
    action: Annotated[str, StringConstraints(pattern=_ACTION)] | None = None
    """An action as `agent.cordoned`, or the beginning of several as `agent.*`."""
    since: GivenTime | None = None
    """From this time on."""
    until: GivenTime | None = None
    """Before this time."""


@routes.on(
    "GET",
    "/v1/audit",
    query=AuditQuery,
    replies={200: Reply("A page of changes.", Page[AuditEntry])},
    problems=(Forbidden, NotFound),
)
async def list_audit(call: Call) -> web.Response:
    """List changes: who, from where, when, what, newest first. Operators: all; owners of a project: that of the project.

    A page has what matches among the next 20,000 changes: so it may have few entries, or none, and still have a next one.
    """
    asked = call.query(AuditQuery)
    wanted = AuditFilter(
        agent=asked.agent, actor=asked.actor, action=asked.action, since=asked.since, until=asked.until
    )
    return json_reply(
        await call.use.audit.entries(
            call.actor,
            wanted,
            project=asked.project,
            service=asked.service,
            before=asked.cursor,
            limit=asked.limit,
        )
    )
