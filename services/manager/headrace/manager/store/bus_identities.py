"""Queries: identities on the bus that managers signed, and those that were revoked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from headrace.common.contracts.ids import JoinTokenId
from headrace.common.contracts.vocabulary import JoinKind
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.joining import BusIdentity, Signed

SQL = Queries.beside(__file__)
MAX_REVOKED = 10_000
"""Revoked identities in the account's claims: those whose newest signature has not ended by itself."""


async def page(con: Connection, *, after: tuple[str, str], limit: int) -> list[BusIdentity]:
    """Return a page of the identities by name and key, also of revoked ones."""
    return [BusIdentity(**row) for row in await con.fetch(SQL.page, *after, limit)]


async def lock_changes(con: Connection) -> None:
    """Add and revoke no other identity until the transaction ends."""
    await con.execute(SQL.lock_changes)


async def living(con: Connection) -> int:
    """Return the number of identities that are not revoked."""
    return int(await con.fetchval(SQL.living))


async def by_key(con: Connection, public_key: str) -> tuple[BusIdentity, JoinTokenId | None] | None:
    """Lock an identity until the transaction ends, and return it with the token that it joined with."""
    row = await con.fetchrow(SQL.by_key, public_key)
    if row is None:
        return None
    known = dict(row)
    token = known.pop("join_token_id")
    return BusIdentity(**known), token


async def key_of(con: Connection, name: str) -> str | None:
    """Return the public key of the identity with this name that is not revoked."""
    found: str | None = await con.fetchval(SQL.key_of, name)
    return found


async def insert(
    con: Connection,
    public_key: str,
    name: str,
    kind: JoinKind,
    token_id: JoinTokenId,
    *,
    resource_group: str,
    labels: Mapping[str, str],
    lifetime: timedelta,
) -> Signed:
    """Insert an identity, and return when its signature begins and ends."""
    row = await con.fetchrow(SQL.insert, public_key, name, kind, token_id, resource_group, dict(labels), lifetime)
    return Signed(name, kind, row["issued_at"], row["expires_at"])


async def renew(con: Connection, public_key: str, lifetime: timedelta) -> Signed | None:
    """Extend an identity; None when it is revoked or unknown."""
    row = await con.fetchrow(SQL.renew, public_key, lifetime)
    return None if row is None else Signed(**row)


async def revoke(con: Connection, name: str, by: str, reason: str) -> bool:
    """Revoke the identity with this name. False when there is none, or it was revoked before."""
    return await con.fetchval(SQL.revoke, name, by, reason) is not None


async def revoke_installed(con: Connection, public_key: str, name: str, kind: JoinKind, by: str, reason: str) -> bool:
    """Revoke an identity of the installation's files. False when it was revoked before."""
    return await con.fetchval(SQL.revoke_installed, public_key, name, kind, by, reason) is not None


async def revoked(con: Connection) -> dict[str, datetime]:
    """Return the keys that the bus has to refuse, and until when what was signed for them is refused; the newest MAX_REVOKED."""
    rows = await con.fetch(SQL.revoked, MAX_REVOKED)
    return {row["public_key"]: row["revoked_at"] for row in rows}
