"""Tokens (never the token itself) and the keys that sign them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.common.contracts.http.tokens import CallerLimits, CreateToken, TokenView, UpdateCaller, UpdateToken
from headrace.common.contracts.ids import ProjectId, ServiceId, TokenId, UserId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)
USUAL_SHARE = 1


async def insert(
    con: Connection,
    token_id: TokenId,
    new: CreateToken,
    *,
    service_id: ServiceId | None,
    project_id: ProjectId | None,
    user_id: UserId,
    creator: str,
    expires_at: datetime,
) -> TokenView:
    """Keep a new token's facts. One of `service_id` and `project_id`: what it opens."""
    row = await con.fetchrow(
        SQL.insert, token_id, service_id, project_id, new.name, user_id, expires_at, plain(new.limits), new.share
    )
    return TokenView(**row, created_by=creator)


async def living(con: Connection, subject: UUID) -> int:
    """Return how many tokens open this service or project (of those for itself), revoked ones too until they expire."""
    return int(await con.fetchval(SQL.living, subject))


async def page(con: Connection, subject: UUID, *, after: UUID, limit: int) -> list[TokenView]:
    """Return a page of the service's or project's tokens."""
    return [TokenView(**row) for row in await con.fetch(SQL.page, subject, after, limit)]


async def update(con: Connection, subject: UUID, token_id: UUID, change: UpdateToken) -> TokenView | None:
    """Change name, limits and share; None when there is no such token."""
    name = (change.name or "") if "name" in change.model_fields_set else None
    row = await con.fetchrow(SQL.update, subject, token_id, *changes(change), name)
    return TokenView(**row) if row else None


async def revoke(con: Connection, subject: UUID, token_id: UUID) -> bool | None:
    """Revoke it (again is fine). Return whether that is new to route tables; None when there is no such token."""
    fresh: bool | None = await con.fetchval(SQL.revoke, subject, token_id)
    return fresh


async def revoke_all(con: Connection, project_id: ProjectId) -> None:
    """Revoke the tokens of the whole project."""
    await con.execute(SQL.revoke_all, project_id)


def plain(limits: CallerLimits) -> Mapping[str, Any]:
    """Return limits as they are stored: only those that bound something."""
    return limits.model_dump(exclude_none=True)


def changes(change: UpdateCaller) -> tuple[Mapping[str, Any] | None, bool, int | None]:
    """Return (limits to set, None among them to take away; whether all others go; the share), as `update` statements take them."""
    away = change.limits is None and "limits" in change.model_fields_set
    given = None if change.limits is None else change.limits.model_dump(exclude_unset=True)
    share = (change.share or USUAL_SHARE) if "share" in change.model_fields_set else None
    return given, away, share


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
