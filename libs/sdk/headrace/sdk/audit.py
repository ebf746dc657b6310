"""The audit log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from headrace.common.contracts.http.audit import AuditEntry
from headrace.sdk.transport import Transport, segment

_MORE: Final = re.compile(rb"(?:^|\n)(more,([0-9a-f-]{36})\r\n)$")
_LAST_LINE_BYTES: Final = 64
"""More than the last line of a file that is not complete has."""


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
        query = _query(project, service, agent, actor, action, since, until)
        return self._transport.items(AuditEntry, "/v1/audit", query)

    def show(self, entry: object) -> AuditEntry:
        """Return one change with the states before and after it, by id."""
        return self._transport.one(AuditEntry, "GET", f"/v1/audit/{segment(entry)}")

    def csv(
        self,
        *,
        project: str | None = None,
        service: object = None,
        agent: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[bytes]:
        """Yield pieces of one CSV file of all changes that match, newest first; as many requests are made as it takes."""
        query = _query(project, service, agent, actor, action, since, until) | {"format": "csv"}
        cursor: str | None = None
        while True:
            following = cursor is not None
            held = b""  # what may be the last line
            with self._transport.stream("/v1/audit", query=query | {"cursor": cursor}) as answer:
                for block in answer.iter_bytes():
                    held += block
                    if following:  # the names of the columns came with the first file
                        _, whole, rest = held.partition(b"\r\n")
                        if not whole:
                            continue
                        held, following = rest, False
                    if len(held) > _LAST_LINE_BYTES:
                        yield held[:-_LAST_LINE_BYTES]
                        held = held[-_LAST_LINE_BYTES:]
            more = _MORE.search(held)
            yield held if more is None else held[: more.start(1)]
            if more is None:
                return
            cursor = more[2].decode()


def _query(
    project: str | None,
    service: object,
    agent: str | None,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, str | None]:
    return {
        "project": project,
        "service": None if service is None else str(service),
        "agent": agent,
        "actor": actor,
        "action": action,
        "since": since.isoformat() if since is not None else None,
        "until": until.isoformat() if until is not None else None,
    }
