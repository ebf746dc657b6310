"""Queries: named clients of services. Secrets arrive here as digests only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import ClientId, ServiceId, UserId
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.clients import Client
from headrace.manager.domain.records.tokens import CallerChange
from headrace.manager.store import rows, tokens

SQL = Queries.beside(__file__)


def _client(row: Mapping[str, Any]) -> Client:
    return Client(**{**row, "limits": RateLimits.model_validate(row["limits"])})


async def insert(
    con: Connection,
    client_id: ClientId,
    service_id: ServiceId,
    name: str,
    digest: str,
    limits: RateLimits,
    share: int,
    *,
    user_id: UserId,
    creator: str,
) -> Client:
    """Insert a client. `digest`: SHA-256 of its secret, in hex. Raises NameTaken."""
    try:
        row = await con.fetchrow(SQL.insert, client_id, service_id, name, digest, tokens.plain(limits), share, user_id)
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"the service has a client {name} already") from None
    return _client({**row, "created_by": creator})


async def living(con: Connection, service_id: ServiceId) -> int:
    """Return the number of the service's clients."""
    return int(await con.fetchval(SQL.living, service_id))


async def page(con: Connection, service_id: ServiceId, *, after: UUID, limit: int) -> list[Client]:
    """Return a page of the service's clients."""
    return [_client(row) for row in await con.fetch(SQL.page, service_id, after, limit)]


async def find(con: Connection, service_id: ServiceId, reference: str) -> ClientId | None:
    """Return the id of the service's client with this name or id."""
    row = await con.fetchrow(SQL.find, service_id, rows.as_uuid(reference), reference)
    return ClientId(row["id"]) if row else None


async def hold(con: Connection, client_id: ClientId) -> Client | None:
    """Return the client, locked until the transaction ends; None when it was revoked meanwhile."""
    row = await con.fetchrow(SQL.hold, client_id)
    return _client(row) if row else None


async def rotate(con: Connection, client_id: ClientId, digest: str) -> Client | None:
    """Replace the secret; None when the client was revoked meanwhile."""
    row = await con.fetchrow(SQL.rotate, client_id, digest)
    return _client(row) if row else None


async def update(con: Connection, client_id: ClientId, change: CallerChange) -> Client | None:
    """Change limits and share; None when the client was revoked meanwhile."""
    row = await con.fetchrow(SQL.update, client_id, change.limits, change.clear, change.share)
    return _client(row) if row else None


async def revoke(con: Connection, client_id: ClientId) -> str | None:
    """Revoke the client and return its name; None when it was revoked meanwhile."""
    row = await con.fetchrow(SQL.revoke, client_id)
    return str(row["name"]) if row else None
