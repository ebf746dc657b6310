"""Named clients of services. Secrets arrive here as digests only."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from headrace.common.contracts.http.clients import ClientView, CreateClient
from headrace.common.contracts.http.tokens import UpdateCaller
from headrace.common.contracts.ids import ClientId, ServiceId, UserId
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.store import rows, tokens

SQL = Queries.beside(__file__)


async def insert(
    con: Connection,
    client_id: ClientId,
    service_id: ServiceId,
    new: CreateClient,
    digest: str,
    *,
    user_id: UserId,
    creator: str,
) -> ClientView:
    """Keep a new client. `digest`: SHA-256 of its secret, in hex. Raises NameTaken."""
    try:
        row = await con.fetchrow(
            SQL.insert, client_id, service_id, new.name, digest, tokens.plain(new.limits), new.share, user_id
        )
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"the service has a client {new.name} already") from None
    return ClientView(**row, created_by=creator)


async def living(con: Connection, service_id: ServiceId) -> int:
    """Return how many clients the service has."""
    return int(await con.fetchval(SQL.living, service_id))


async def page(con: Connection, service_id: ServiceId, *, after: UUID, limit: int) -> list[ClientView]:
    """Return a page of the service's clients."""
    return [ClientView(**row) for row in await con.fetch(SQL.page, service_id, after, limit)]


async def find(con: Connection, service_id: ServiceId, reference: str) -> ClientId | None:
    """Return the id of the service's client with this name or id."""
    row = await con.fetchrow(SQL.find, service_id, rows.as_uuid(reference), reference)
    return ClientId(row["id"]) if row else None


async def rotate(con: Connection, client_id: ClientId, digest: str) -> ClientView | None:
    """Replace the secret; None when the client was revoked meanwhile."""
    row = await con.fetchrow(SQL.rotate, client_id, digest)
    return ClientView(**row) if row else None


async def update(con: Connection, client_id: ClientId, change: UpdateCaller) -> ClientView | None:
    """Change limits and share; None when the client was revoked meanwhile."""
    row = await con.fetchrow(SQL.update, client_id, *tokens.changes(change))
    return ClientView(**row) if row else None


async def revoke(con: Connection, client_id: ClientId) -> str | None:
    """Revoke it and return its name; None when that was done meanwhile."""
    row = await con.fetchrow(SQL.revoke, client_id)
    return str(row["name"]) if row else None
