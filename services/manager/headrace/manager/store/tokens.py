"""Service tokens (never the token itself) and the keys that sign them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from headrace.common.contracts.http.tokens import TokenView
from headrace.common.contracts.ids import ServiceId, TokenId, UserId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)


async def insert(
    con: Connection,
    token_id: TokenId,
    service_id: ServiceId,
    name: str,
    user_id: UserId,
    creator: str,
    expires_at: datetime,
) -> TokenView:
    """Keep a new token's facts."""
    row = await con.fetchrow(SQL.insert, token_id, service_id, name, user_id, expires_at)
    return TokenView(**row, created_by=creator)


async def page(con: Connection, service_id: ServiceId, *, after: UUID, limit: int) -> list[TokenView]:
    """Return a page of the service's tokens."""
    return [TokenView(**row) for row in await con.fetch(SQL.page, service_id, after, limit)]


async def revoke(con: Connection, service_id: ServiceId, token_id: UUID) -> bool:
    """Revoke it (again is fine); False when the service has no such token."""
    return await con.fetchval(SQL.revoke, service_id, token_id) is not None


async def signing_key(con: Connection) -> tuple[str, bytes] | None:
    """Return (kid, sealed private key) of the key that signs now."""
    row = await con.fetchrow(SQL.signing_key)
    return (row["kid"], row["private_key"]) if row else None


async def lock_signing(con: Connection) -> None:
    """Let one transaction at a time make a signing key."""
    await con.execute(SQL.lock_signing)


async def insert_signing_key(con: Connection, kid: str, sealed: bytes, public_key: bytes) -> None:
    """Keep a signing key: the private part sealed, the public part as its 32 bytes."""
    await con.execute(SQL.insert_signing_key, kid, sealed, public_key)
