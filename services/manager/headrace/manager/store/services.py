"""Queries: services, and what the API shows of their replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import RevisionId, RuleId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.problems import Conflict, NameTaken
from headrace.common.contracts.slots import read_slots
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_change import bounded, change_of
from headrace.manager.domain.audit_states import ServiceState
from headrace.manager.domain.records.replicas import Replica, StartError
from headrace.manager.domain.records.services import Goal, NewService, ScaleTarget, Service, ServiceChange, ServiceFacts
from headrace.manager.store import rollouts, rows, traffic
from headrace.manager.store.revisions import documents_of, metadata_of, resolved_of

SQL = Queries.beside(__file__)
_COLUMNS = frozenset(Service.__dataclass_fields__)


def _service(row: Mapping[str, Any]) -> Service:
    columns = {name: row[name] for name in _COLUMNS} | {"tags": tuple(row["tags"]), "models": tuple(row["models"])}
    return Service(**columns)


def facts_of(row: Mapping[str, Any]) -> ServiceFacts:
    """Return the service in a row, with what was joined to it."""
    return ServiceFacts(
        service=_service(row),
        project=row["project"],
        creator=row["creator"],
        revision=row["revision"],
        resolved=resolved_of(row["resolved"], row["resource_group"]),
        role=row.get("role"),
        served=row["served"],
        published=row["published"],
        published_at=row["published_at"],
        routes_problem=row["routes_problem"],
        rules_problem=row["rules_problem"],
        last_error=row["last_error"],
        rollout=rollouts.state_of(row),
        metadata=metadata_of(row.get("model_metadata")),
    )


_ENDPOINT_PORTS = "services_endpoint_port"


def port_taken(port: int | None) -> Conflict:
    """Return the problem of an own port that another service has."""
    return Conflict(f"endpoint_port: {port} is another service's", field="endpoint_port", found=port)


async def create(con: Connection, new: NewService, actor: Actor) -> ServiceFacts:
    """Insert the service, its first revision and its history event. Raises NameTaken, Conflict, InvalidRequest."""
    details = bounded({"revision": 1, "service": new.asked})
    try:
        row = await con.fetchrow(
            SQL.create,
            new.id,
            new.project.id,
            new.name,
            new.description,
            new.wanted,
            new.open_to_public,
            new.resource_group,
            new.revision_id,
            new.metadata,
            list(new.tags),
            new.drain_grace_s,
            actor.user_id,
            new.endpoint_port,
            *traffic.arguments(new.documents),
            new.spec.model_dump(mode="json"),
            new_uuid(),
            actor.name,
            actor.source_address,
            details,
            actor.key_id,
            actor.login_id,
            *documents_of(new.resolution),
            actor.message,
            change_of(None, ServiceState.made(new)).after,
        )
    except asyncpg.UniqueViolationError as error:
        raise _taken(error, new) from None
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != traffic.CORS:
            raise
        raise traffic.all_with_credentials() from None
    assert row is not None  # noqa: S101 - inserted
    return ServiceFacts(_service(row), new.project.name, actor.name, 1, new.resolved, metadata=new.resolution.metadata)


def name_taken(name: str) -> NameTaken:
    """Return the problem of a name that a service has."""
    return NameTaken(f"there is a service {name} already; names are unique in the whole installation")


def found_as_model(name: str) -> NameTaken:
    """Return the problem of a name that is a model name of another service of the project."""
    return NameTaken(f"a service of the project is found as {name} already: it is one of its models")


def _taken(error: asyncpg.UniqueViolationError, new: NewService) -> NameTaken | Conflict:
    if error.constraint_name == _ENDPOINT_PORTS:
        return port_taken(new.endpoint_port)
    if error.constraint_name != traffic.NAMES:
        return name_taken(new.name)
    if traffic.taken_name(error) in (None, new.name):
        return found_as_model(new.name)
    return traffic.taken(error, new.documents.models or ())


async def find(con: Connection, reference: str, actor: Actor) -> ServiceFacts | None:
    """Return the service with this id or name, if the caller may see it."""
    row = await con.fetchrow(SQL.find, rows.as_uuid(reference), reference, *rows.visibility(actor))
    return facts_of(row) if row else None


async def hold(con: Connection, reference: str, actor: Actor) -> ServiceId | None:
    """Lock the service with this id or name until the transaction ends, if the caller may see it; return its id.

    Read it afterwards: after waiting for the lock the row is not the one that the query began with.
    """
    found: ServiceId | None = await con.fetchval(SQL.hold, rows.as_uuid(reference), reference, *rows.visibility(actor))
    return found


async def lock(con: Connection, service_id: ServiceId) -> None:
    """Lock the service until the transaction ends, so that one caller at a time counts its objects."""
    await con.execute(SQL.lock, service_id)


async def lock_for_rule(con: Connection, service_id: ServiceId, rule_id: RuleId) -> ScaleTarget | None:
    """Lock the service until the transaction ends, and return what a rule's request is judged by; None when it is gone."""
    row = await con.fetchrow(SQL.lock_for_rule, service_id, rule_id)
    return ScaleTarget(**{**row, "slots": read_slots(row["slots"] or {})}) if row else None


async def set_wanted(con: Connection, service_id: ServiceId, wanted: int) -> None:
    """Set the number of wanted replicas."""
    await con.execute(SQL.set_wanted, service_id, wanted)


async def update(
    con: Connection,
    service_id: ServiceId,
    change: ServiceChange | None = None,
    *,
    revision_id: RevisionId | None = None,
    goal: Goal | None = None,
    forgive: bool = False,
) -> None:
    """Update the given columns; `forgive` resets failed starts, so that starting is tried again at once. Raises Conflict."""
    values = (
        service_id,
        change.description if change else None,
        change.wanted if change else None,
        change.open_to_public if change else None,
        change.metadata if change else None,
        list(change.tags) if change and change.tags is not None else None,
        change.drain_grace_s if change else None,
        revision_id,
        goal,
        forgive,
        change.endpoint_port if change else None,
    )
    try:
        await con.execute(SQL.update, *values)
    except asyncpg.UniqueViolationError:
        raise port_taken(change.endpoint_port if change else None) from None
    if revision_id is not None:
        await rollouts.begin(con, service_id, revision_id)
    elif forgive:
        await rollouts.retry(con, service_id)
    if forgive:
        await con.execute(SQL.clear_errors, service_id)


async def group_exists(con: Connection, name: str) -> bool:
    """Return whether the resource group exists."""
    return bool(await con.fetchval(SQL.group_exists, name))


async def live_sessions(con: Connection, service_id: ServiceId) -> int:
    """Return the number of its live sessions."""
    return int(await con.fetchval(SQL.live_sessions, service_id))


async def mark_deleted(con: Connection, service_id: ServiceId) -> None:
    """Mark the service deleted; its name is free."""
    await con.execute(SQL.mark_deleted, service_id)


async def replicas(con: Connection, service_ids: Iterable[ServiceId]) -> dict[ServiceId, list[Replica]]:
    """Return the live sessions of these services."""
    found: dict[ServiceId, list[Replica]] = {service_id: [] for service_id in service_ids}
    for row in await con.fetch(SQL.replicas, list(found)):
        found[row["service_id"]].append(Replica(**row))
    return found


async def replica(con: Connection, session_id: UUID, service_id: ServiceId | None) -> Replica | None:
    """Return one session of the service (None: a session without service), live or ended."""
    row = await con.fetchrow(SQL.replica, session_id, service_id)
    return Replica(**row) if row else None


async def last_ended(con: Connection, service_id: ServiceId) -> SessionId | None:
    """Return the newest ended session that had a machine."""
    found: SessionId | None = await con.fetchval(SQL.last_ended, service_id)
    return found


async def ended_since(con: Connection, service_id: ServiceId, since: datetime, *, limit: int) -> list[SessionId]:
    """Return the newest sessions that had a machine and ended since, oldest first."""
    rows = await con.fetch(SQL.ended_since, service_id, since, limit)
    return [row["id"] for row in reversed(rows)]


async def errors(con: Connection, service_id: ServiceId) -> list[StartError]:
    """Return the failed starts that were not cleared, newest first."""
    return [StartError(**row) for row in await con.fetch(SQL.errors, service_id)]


async def exists(con: Connection, service_id: ServiceId) -> bool:
    """Return whether the service exists and is not deleted."""
    return bool(await con.fetchval(SQL.exists, service_id))


async def has_port(con: Connection, port: int, *, beside: ServiceId | None = None) -> bool:
    """Return whether another service than `beside` has this own port."""
    return bool(await con.fetchval(SQL.has_port, port, beside))
