"""Queries: users and their API keys. Secrets arrive here as keyed hashes only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import KeyId, UserId, new_uuid
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.keys import Key, KeyEnd, StoredKey
from headrace.manager.domain.records.users import User
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


def _user(row: Mapping[str, Any]) -> User:
    return User(id=row["id"], name=row["name"], operator=row["operator"], created_at=row["created_at"])


async def insert(con: Connection, name: str, *, operator: bool) -> User:
    """Insert a user. Raises NameTaken."""
    try:
        return _user(await con.fetchrow(SQL.insert, new_uuid(), name, operator))
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"there is a user {name} already") from None


async def find(con: Connection, reference: str) -> User | None:
    """Return the user with this name or id."""
    row = await con.fetchrow(SQL.find, rows.as_uuid(reference), reference)
    return _user(row) if row else None


async def lock(con: Connection, user_id: UserId) -> None:
    """Lock the user until the transaction ends."""
    await con.execute(SQL.lock, user_id)


async def page(con: Connection, *, after: UUID, limit: int) -> list[User]:
    """Return a page of users."""
    return [_user(row) for row in await con.fetch(SQL.page, after, limit)]


async def lock_operators(con: Connection) -> list[UserId]:
    """Lock all operators until the transaction ends, and return them."""
    await con.execute(SQL.lock_changes)
    return [row["id"] for row in await con.fetch(SQL.operators)]


async def update(con: Connection, user_id: UserId, *, operator: bool) -> User:
    """Update whether the user is an operator."""
    return _user(await con.fetchrow(SQL.update, user_id, operator))


async def insert_key(
    con: Connection, key_id: KeyId, user_id: UserId, name: str, secret_hash: bytes, expires_in_s: int | None
) -> Key:
    """Insert a key."""
    row = await con.fetchrow(SQL.insert_key, key_id, user_id, name, secret_hash, expires_in_s)
    return Key(**row)


async def keys(con: Connection, user_id: UserId, *, after: UUID, limit: int) -> list[Key]:
    """Return a page of the user's keys."""
    return [Key(**row) for row in await con.fetch(SQL.keys, user_id, after, limit)]


async def update_key(
    con: Connection, user_id: UserId, key_id: UUID, name: str | None, *, set_end: bool, expires_in_s: int | None
) -> Key | None:
    """Update the name (if given), and with `set_end` the expiry (None: none); None when the user has no such key."""
    row = await con.fetchrow(SQL.update_key, user_id, key_id, name, set_end, expires_in_s)
    return Key(**row) if row else None


async def delete_key(con: Connection, user_id: UserId, key_id: UUID) -> bool:
    """Delete a key; False when the user has no such key."""
    return await con.fetchval(SQL.delete_key, user_id, key_id) is not None


async def by_key(con: Connection, key_id: UUID) -> StoredKey | None:
    """Return the key and its user."""
    row = await con.fetchrow(SQL.by_key, key_id)
    return StoredKey(row["secret_hash"], row["expired"], row["expires_at"], _user(row)) if row else None


async def ending(con: Connection, user_id: UserId, key_id: UUID) -> KeyEnd:
    """Return the expiry of the key."""
    row = await con.fetchrow(SQL.ending, user_id, key_id)
    return KeyEnd(row["there"], row["ends_at"], row["now"])


async def drop_expired(con: Connection, user_id: UserId, *, keep: int) -> None:
    """Delete the user's expired keys, except the newest `keep`."""
    await con.execute(SQL.drop_expired, user_id, keep)


async def count_keys(con: Connection, user_id: UserId) -> int:
    """Return the number of the user's keys that have not expired."""
    return int(await con.fetchval(SQL.count_keys, user_id))
