"""Queries: tokens (without the token itself), and signing keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, ServiceId, TokenId, UserId
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.tokens import CallerChange, Token

SQL = Queries.beside(__file__)


def _token(row: Mapping[str, Any]) -> Token:
    return Token(**{**row, "limits": RateLimits.model_validate(row["limits"])})


async def insert(
    con: Connection,
    token_id: TokenId,
    name: str,
    limits: RateLimits,
    share: int,
    *,
    service_id: ServiceId | None,
    project_id: ProjectId | None,
    user_id: UserId,
    creator: str,
    expires_at: datetime,
) -> Token:
    """Insert a token. Exactly one of `service_id` and `project_id` is its scope."""
    row = await con.fetchrow(
        SQL.insert, token_id, service_id, project_id, name, user_id, expires_at, plain(limits), share
    )
    return _token({**row, "created_by": creator})


async def living(con: Connection, subject: UUID) -> int:
    """Return the number of the service's or project's own tokens that have not expired, revoked ones included."""
    return int(await con.fetchval(SQL.living, subject))


async def page(con: Connection, subject: UUID, *, after: UUID, limit: int) -> list[Token]:
    """Return a page of the service's or project's tokens."""
    return [_token(row) for row in await con.fetch(SQL.page, subject, after, limit)]


async def hold(con: Connection, subject: UUID, token_id: UUID) -> Token | None:
    """Return the token, locked until the transaction ends; None when there is no such token."""
    row = await con.fetchrow(SQL.hold, subject, token_id)
    return _token(row) if row else None


async def update(
    con: Connection, subject: UUID, token_id: UUID, name: str | None, change: CallerChange
) -> Token | None:
    """Update name (if given), limits and share; None when there is no such token."""
    row = await con.fetchrow(SQL.update, subject, token_id, change.limits, change.clear, change.share, name)
    return _token(row) if row else None


async def revoke(con: Connection, subject: UUID, token_id: UUID) -> bool | None:
    """Revoke the token (idempotent). Return whether route tables change by it; None when there is no such token."""
    fresh: bool | None = await con.fetchval(SQL.revoke, subject, token_id)
    return fresh


async def revoke_all(con: Connection, project_id: ProjectId) -> None:
    """Revoke all tokens of the project."""
    await con.execute(SQL.revoke_all, project_id)


def plain(limits: RateLimits) -> Mapping[str, Any]:
    """Return limits in their stored form: only those that are set."""
    return limits.model_dump(exclude_none=True)


async def signing_key(con: Connection) -> tuple[str, bytes] | None:
    """Return (kid, sealed private key) of the current signing key."""
    row = await con.fetchrow(SQL.signing_key)
    return (row["kid"], row["private_key"]) if row else None


async def lock_signing(con: Connection) -> None:
    """Lock the creation of a signing key: one transaction at a time."""
    await con.execute(SQL.lock_signing)


async def insert_signing_key(con: Connection, kid: str, sealed: bytes, public_key: bytes) -> None:
    """Insert a signing key: the private part sealed, the public part as its 32 bytes."""
    await con.execute(SQL.insert_signing_key, kid, sealed, public_key)
