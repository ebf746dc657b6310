"""Queries: tokens with which machines join. Secrets arrive here as keyed hashes only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import JoinTokenId
from headrace.common.contracts.vocabulary import JoinKind
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.joining import JoinToken, StoredJoinToken

SQL = Queries.beside(__file__)
_HIDDEN = frozenset({"secret_hash", "expired"})


def _token(row: Mapping[str, Any]) -> JoinToken:
    return JoinToken(**{name: value for name, value in row.items() if name not in _HIDDEN})


async def lock_changes(con: Connection) -> None:
    """Make no other token until the transaction ends."""
    await con.execute(SQL.lock_changes)


async def living(con: Connection) -> int:
    """Return the number of tokens with which a machine could join now."""
    return int(await con.fetchval(SQL.living))


async def insert(
    con: Connection,
    token_id: JoinTokenId,
    secret_hash: bytes,
    kind: JoinKind,
    *,
    resource_group: str,
    labels: Mapping[str, str],
    uses: int,
    created_by: str,
    ttl_s: int,
) -> JoinToken:
    """Insert a token."""
    row = await con.fetchrow(
        SQL.insert, token_id, secret_hash, kind, resource_group, dict(labels), uses, created_by, float(ttl_s)
    )
    return _token(row)


async def page(con: Connection, *, after: UUID, limit: int) -> list[JoinToken]:
    """Return a page of the tokens, also of those that are over."""
    return [_token(row) for row in await con.fetch(SQL.page, after, limit)]


async def revoke(con: Connection, token_id: UUID) -> bool | None:
    """Revoke a token. Return whether that changed anything; None when there is no such token."""
    row = await con.fetchrow(SQL.revoke, token_id)
    return None if row is None else bool(row["fresh"])


async def lock(con: Connection, token_id: UUID) -> StoredJoinToken | None:
    """Lock a token until the transaction ends, and return it with the hash of its secret."""
    row = await con.fetchrow(SQL.lock, token_id)
    return None if row is None else StoredJoinToken(_token(row), row["secret_hash"], row["expired"])


async def use(con: Connection, token_id: JoinTokenId) -> None:
    """Count one more use of a token that is locked."""
    await con.execute(SQL.use, token_id)
