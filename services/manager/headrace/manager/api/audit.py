"""Route of the audit log: who changed what, from where, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal
from uuid import UUID

from aiohttp import web
from pydantic import StringConstraints

from headrace.common.contracts.http.audit import AuditEntry
from headrace.common.contracts.http.page import GivenTime, Page
from headrace.common.contracts.problems import Forbidden, NotFound
from headrace.common.contracts.wording import pattern
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply
from headrace.manager.domain.records.events import AuditFilter
from headrace.manager.views import audit_csv

routes = Routes("operation")
CSV: Final = "text/csv"
MAX_CSV_LINES: Final = 50_000
"""Changes in one file."""
MAX_CSV_PAGES: Final = 500
"""Pages that are read for one file."""
PAGE_LINES: Final = 200
_READER_S: Final = 60.0

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
    format: Literal["json", "csv"] = "json"
    """`csv`: all that match in one file (RFC 4180), or `limit` of them."""


@routes.on(
    "GET",
    "/v1/audit",
    query=AuditQuery,
    replies={200: Reply("A page of changes, or a file of them.", Page[AuditEntry], media_type=CSV)},
    problems=(Forbidden, NotFound),
)
async def list_audit(call: Call) -> web.StreamResponse:
    """List changes: who, from where, when, what, newest first. Operators: all; owners of a project: that of the project.

    A page has what matches among the next 20,000 changes: so it may have few entries, or none, and still have a next one.
    With `format=csv` the answer is a file of at most 50,000 lines: the columns of an entry, documents as JSON. One that is not
    complete ends with a line `more,CURSOR`, which goes on by `cursor`. A cell that a spreadsheet would take for a formula
    begins with an apostrophe.
    """
    asked = call.query(AuditQuery)
    wanted = AuditFilter(
        agent=asked.agent, actor=asked.actor, action=asked.action, since=asked.since, until=asked.until
    )

    async def page(before: UUID | None, limit: int) -> Page[AuditEntry]:
        return await call.use.audit.entries(
            call.actor, wanted, project=asked.project, service=asked.service, before=before, limit=limit
        )

    if asked.format == "json":
        return json_reply(await page(asked.cursor, asked.limit))
    most = asked.limit if "limit" in asked.model_fields_set else MAX_CSV_LINES
    return await _file(call, page, asked.cursor, most)


async def _file(
    call: Call, page: Callable[[UUID | None, int], Awaitable[Page[AuditEntry]]], cursor: UUID | None, left: int
) -> web.StreamResponse:
    """Stream the changes page by page; an error in the middle breaks the connection, so that it does not look complete."""
    found = await page(cursor, min(left, PAGE_LINES))
    response = web.StreamResponse(
        headers={"Content-Type": f"{CSV}; charset=utf-8", "Content-Disposition": 'attachment; filename="audit.csv"'}
    )
    await response.prepare(call.request)
    piece, pages, whole = audit_csv.head(), 1, False
    try:
        while True:
            left -= len(found.items)
            over = found.next is None or left == 0 or pages == MAX_CSV_PAGES
            piece += audit_csv.lines(found.items)
            if over and found.next is not None:
                piece += audit_csv.more(found.next)
            async with asyncio.timeout(_READER_S):
                await response.write(piece)
            if over or found.next is None:
                break
            found, piece = await page(UUID(found.next), min(left, PAGE_LINES)), b""
            pages += 1
        await response.write_eof()
        whole = True
    finally:
        if not whole and call.request.transport is not None:
            call.request.transport.abort()  # an orderly end would look like a whole file
    return response


@routes.on("GET", "/v1/audit/{audit_entry}", replies={200: Reply("The change.", AuditEntry)})
async def show_audit_entry(call: Call) -> web.Response:
    """Show one change, with the states before and after it. Operators: any; owners of a project: those of the project."""
    return json_reply(await call.use.audit.show(call.actor, call["audit_entry"]))
