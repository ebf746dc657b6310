"""Queries: history of services' metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, RevisionId, ServiceId, SessionId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.metric_history.series import ReplicaCount
from headrace.manager.domain.records.metric_history import NamedService, StoredHour, StoredWindow
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


async def store(con: Connection, windows: Sequence[StoredWindow]) -> None:
    """Store windows; one that is there is replaced."""
    await con.execute(
        SQL.store,
        [one.service_id for one in windows],
        [one.at for one in windows],
        [one.source for one in windows],
        [one.contents for one in windows],
    )


async def windows(
    con: Connection, services: Sequence[ServiceId], since: datetime, until: datetime, *, most: int
) -> list[StoredWindow]:
    """Return the windows of services that begin in an interval, by time."""
    return [StoredWindow(source="", **row) for row in await con.fetch(SQL.windows, services, since, until, most)]


async def lately(con: Connection, since: datetime, *, most: int) -> list[StoredWindow]:
    """Return the windows of all services since then, by time."""
    return [StoredWindow(source="", **row) for row in await con.fetch(SQL.lately, since, most)]


async def hours(con: Connection, services: Sequence[ServiceId], since: datetime, until: datetime) -> list[StoredHour]:
    """Return the hours of services that touch an interval, by time."""
    return [StoredHour(**row) for row in await con.fetch(SQL.hours, services, since, until)]


async def due(con: Connection, before: datetime, *, examined: int, most: int) -> list[tuple[ServiceId, datetime]]:
    """Return services and hours of which there are windows from before; of the `examined` oldest windows."""
    return [(row["service_id"], row["hour"]) for row in await con.fetch(SQL.due, before, examined, most)]


async def take(con: Connection, service_id: ServiceId, hour: datetime) -> list[StoredWindow]:
    """Delete the windows of an hour and return them, in the caller's transaction."""
    found = await con.fetch(SQL.take, service_id, hour)
    return [StoredWindow(service_id=service_id, source="", **row) for row in found]


async def keep_hour(con: Connection, service_id: ServiceId, hour: datetime, contents: str) -> None:
    """Store an hour, unless it is there."""
    await con.execute(SQL.keep_hour, service_id, hour, contents)


async def note_replicas(con: Connection) -> None:
    """Note the replicas of services where they have changed."""
    await con.execute(SQL.note_replicas)


async def replicas(
    con: Connection, service_id: ServiceId, since: datetime, until: datetime, *, most: int
) -> list[ReplicaCount]:
    """Return the replicas of a service where they changed, by time, and those before."""
    return [ReplicaCount(**row) for row in reversed(await con.fetch(SQL.replicas, service_id, since, until, most))]


async def on_machines(
    con: Connection, replicas: Collection[tuple[SessionId, str]]
) -> dict[tuple[SessionId, str], ServiceId]:
    """Return which of these replicas are, or were, on the machines that tell of them, with their services."""
    found = await con.fetch(SQL.on_machines, [session for session, _ in replicas], [agent for _, agent in replicas])
    return {(row["session_id"], row["agent_id"]): row["service_id"] for row in found}


async def revisions_of(con: Connection, sessions: Collection[SessionId]) -> dict[SessionId, RevisionId]:
    """Return the revision of each replica."""
    return {row["id"]: row["revision_id"] for row in await con.fetch(SQL.revisions_of, list(sessions))}


async def numbers(con: Connection, revisions: Collection[UUID]) -> Mapping[UUID, int]:
    """Return the number of each revision that is there."""
    return {row["id"]: row["number"] for row in await con.fetch(SQL.numbers, list(revisions))}


async def visible(
    con: Connection, actor: Actor, services: Collection[ServiceId], project_id: ProjectId | None
) -> list[NamedService]:
    """Return those of the services that the caller sees, by id."""
    found = await con.fetch(SQL.visible, list(services), *rows.visibility(actor), project_id)
    return [NamedService(**row) for row in found]
