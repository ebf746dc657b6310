"""Queries: history events (audit log), one per change, inserted in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_change import StateChange, bounded
from headrace.manager.domain.records.events import AuditedEvent, AuditFilter, Event, Scope

SQL = Queries.beside(__file__)
MAX_SCANNED: Final = 20_000
"""Events that are read for one page of the audit log; the next page goes on after them."""
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Moments between which all events are; PostgreSQL's driver takes none at the ends of Python's calendar."""
_CLOCKS_APART: Final = timedelta(minutes=10)
"""How far the time in an event's id, which a manager made, may be from the database's time beside it."""


async def record(
    con: Connection,
    actor: Actor,
    action: str,
    scope: Scope,
    change: StateChange,
    *,
    message: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Insert the event that `actor` did `action` (`noun.verb-in-the-past`); use cases call `context.record_of`.

    Never put a secret into `details`.
    """
    await con.execute(
        SQL.insert,
        new_uuid(),
        actor.name,
        actor.source_address,
        scope.project_id,
        scope.service_id,
        action,
        message or actor.message,
        bounded(details or {}),
        actor.key_id,
        actor.login_id,
        change.before,
        change.after,
    )


async def note(
    con: Connection,
    action: str,
    *,
    project_id: ProjectId | None = None,
    service_id: ServiceId | None = None,
    message: str = "",
    details: Mapping[str, Any] | None = None,
    by: str = "headrace",
) -> None:
    """Insert an event caused by Headrace itself, or by the component that `by` names."""
    facts = (by, "", project_id, service_id, action, message, bounded(details or {}), None, None, None, None)
    await con.execute(SQL.insert, new_uuid(), *facts)


async def of_service(con: Connection, service_id: ServiceId, *, before: UUID | None, limit: int) -> list[Event]:
    """Return a page of the service's history, newest first."""
    return [Event(**row) for row in await con.fetch(SQL.of_service, service_id, before, limit)]


async def audit(
    con: Connection, wanted: AuditFilter, *, before: UUID | None, limit: int
) -> tuple[list[AuditedEvent], UUID | None]:
    """Return up to `limit` events that match, newest first, and the cursor of the next page; None at the end."""
    action = wanted.action
    beginning = action[:-1] if action is not None and action.endswith("*") else None
    since = None if wanted.since is None else min(max(wanted.since, _FIRST), _LAST)
    until = None if wanted.until is None else min(max(wanted.until, _FIRST), _LAST)
    if until is not None:
        bound = _id_at(until + _CLOCKS_APART)
        before = bound if before is None else min(before, bound)
    rows = await con.fetch(
        SQL.audit,
        before,
        None if since is None else _id_at(since - _CLOCKS_APART),
        MAX_SCANNED,
        wanted.project_id,
        wanted.service_id,
        wanted.actor,
        beginning,
        action if beginning is None else None,
        wanted.agent,
        since,
        until,
        limit,
    )
    scanned, last_scanned = rows[0]["scanned"], rows[0]["last_scanned"]
    found = [AuditedEvent(**dict(list(row.items())[2:])) for row in rows if row["id"] is not None]
    if len(found) == limit:
        return found, found[-1].id
    return found, last_scanned if scanned == MAX_SCANNED else None


async def audited(con: Connection, event_id: UUID) -> AuditedEvent | None:
    """Return one event of the audit log."""
    row = await con.fetchrow(SQL.one, event_id)
    return AuditedEvent(**row) if row else None


def _id_at(moment: datetime) -> UUID:
    """Return the smallest UUIDv7 of this moment."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
