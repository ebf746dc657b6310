"""Queries: revisions of services; rows never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from headrace.common.contracts import stored, wording
from headrace.common.contracts.ids import RevisionId, ServiceId, UserId
from headrace.common.contracts.model import ModelMetadata
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.problems import Conflict
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.revisions import Revision
from headrace.manager.domain.variants.resolved_spec import GROUP, Resolution, ResolvedSpec

SQL = Queries.beside(__file__)

UNREADABLE: dict[str, Any] = {
    "runtime": "custom",
    "model_name": "",
    "image": None,
    "architecture": None,
    "command": (),
    "port": 1,
    "model_path": "/",
    "health_check": None,
    "pre_start_actions": (),
    "environ": {},
    "masked": (),
    "slots": {},
    "shm_size": None,
    "resource_group": None,
    "mounts": (),
    "folder_id": None,
    "secrets": (),
    "secret_bytes": 0,
}
"""Placeholder for parts of a stored spec that this version cannot read: the service stays in lists and can be changed."""


def _revision(row: Mapping[str, Any]) -> Revision:
    columns = dict(row)
    resolved = resolved_of(columns.pop("resolved"), columns.pop("resource_group"))
    origins = {path: stored.read(Origin, origin) for path, origin in (columns.pop("origins") or {}).items()}
    resolution = Resolution(resolved, origins, metadata_of(columns.pop("model_metadata")))
    return Revision(**columns | {"spec": stored.read(RevisionSpec, row["spec"]), "resolution": resolution})


def resolved_of(document: Any, resource_group: str) -> ResolvedSpec:
    """Return a revision's resolved spec, as it was stored. `resource_group`: the service's, for one that names none."""
    resolved = stored.read(ResolvedSpec, document, **UNREADABLE)
    return resolved if resolved.resource_group else resolved.model_copy(update={GROUP: resource_group})


def metadata_of(document: Any) -> ModelMetadata | None:
    """Return a revision's model metadata, as it was stored."""
    return None if document is None else stored.read(ModelMetadata, document)


def documents_of(resolution: Resolution) -> tuple[Any, ...]:
    """Return the columns resolved, origins and model_metadata."""
    origins = {path: origin.model_dump(exclude_defaults=True) for path, origin in resolution.origins.items()}
    metadata = resolution.metadata
    return (
        resolution.spec.model_dump(mode="json"),
        origins or None,
        metadata.model_dump(mode="json", exclude_defaults=True) if metadata is not None else None,
    )


async def insert(
    con: Connection,
    revision_id: RevisionId,
    service_id: ServiceId,
    number: int,
    spec: RevisionSpec,
    resolution: Resolution,
    message: str,
    user_id: UserId,
) -> None:
    """Insert a revision."""
    await con.execute(
        SQL.insert,
        revision_id,
        service_id,
        number,
        spec.model_dump(mode="json"),
        message,
        user_id,
        *documents_of(resolution),
    )


async def find(con: Connection, service_id: ServiceId, number: int) -> Revision | None:
    """Return one revision. Raises Conflict when it violates constraints that were added later."""
    row = await con.fetchrow(SQL.find, service_id, number)
    if row is None:
        return None
    try:
        ResolvedSpec.model_validate(row["resolved"])
    except ValidationError as error:
        why = wording.summary(wording.rows(error), most=1)
        raise Conflict(f"revision {number} cannot be run any more: {why}") from None
    return _revision(row)


async def page(con: Connection, service_id: ServiceId, *, after: int, limit: int) -> list[Revision]:
    """Return a page of revisions, oldest first."""
    return [_revision(row) for row in await con.fetch(SQL.page, service_id, after, limit)]


async def forget(con: Connection, service_id: ServiceId, *, before: int) -> None:
    """Delete revisions below the number `before` that nothing uses, oldest first, a few at a time."""
    await con.execute(SQL.forget, service_id, before)


async def origin_of_group(con: Connection, revision_id: RevisionId) -> Origin | None:
    """Return where the resource group of a revision comes from, if that was stored."""
    origin = await con.fetchval(SQL.origin_of_group, revision_id)
    return None if origin is None else stored.read(Origin, origin)


async def keep_group(con: Connection, service_id: ServiceId, resource_group: str) -> None:
    """Store the service's resource group in revisions that name none, before the service gets another."""
    await con.execute(SQL.keep_group, service_id, resource_group)


async def last_number(con: Connection, service_id: ServiceId) -> int:
    """Return the newest revision's number."""
    return int(await con.fetchval(SQL.last_number, service_id))
