"""Queries: history events (audit log), one per change, inserted in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.events import Event

SQL = Queries.beside(__file__)


async def record(
    con: Connection,
    actor: Actor,
    action: str,
    *,
    project_id: ProjectId | None = None,
    service_id: ServiceId | None = None,
    message: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Insert the event that `actor` did `action` (`noun.verb-in-the-past`). Never put a secret into `details`."""
    await con.execute(
        SQL.insert,
        new_uuid(),
        actor.name,
        actor.source_address,
        project_id,
        service_id,
        action,
        message,
        dict(details or {}),
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
    await con.execute(SQL.insert, new_uuid(), by, "", project_id, service_id, action, message, dict(details or {}))


async def of_service(con: Connection, service_id: ServiceId, *, before: UUID | None, limit: int) -> list[Event]:
    """Return a page of the service's history, newest first."""
    return [Event(**row) for row in await con.fetch(SQL.of_service, service_id, before, limit)]
