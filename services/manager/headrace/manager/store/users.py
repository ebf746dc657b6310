"""Queries: users and their API keys. Secrets arrive here as keyed hashes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import KeyId, ProjectId, UserId, new_uuid
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.keys import Key, KeyChange, KeyEnd, KeyLimits, StoredKey
from headrace.manager.domain.records.users import User
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


def user_of(row: Mapping[str, Any]) -> User:
    """Return the user in a row."""
    has_password = row.get("has_password", False)
    return User(row["id"], row["name"], row["operator"], row["created_at"], has_password, row["disabled_at"])


def limits_of(row: Mapping[str, Any]) -> KeyLimits:
    """Return what limits the API key in a row."""
    projects = row["project_ids"]
    return KeyLimits(row["expires_at"], row["read_only"], None if projects is None else tuple(projects))


def _key(row: Mapping[str, Any]) -> Key:
    projects = row["projects"]
    return Key(**{**row, "projects": None if projects is None else tuple(projects)})


async def insert(con: Connection, name: str, *, operator: bool) -> User:
    """Insert a user. Raises NameTaken."""
    try:
        return user_of(await con.fetchrow(SQL.insert, new_uuid(), name, operator))
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"there is a user {name} already") from None


async def find(con: Connection, reference: str) -> User | None:
    """Return the user with this name or id."""
    row = await con.fetchrow(SQL.find, rows.as_uuid(reference), reference)
    return user_of(row) if row else None


async def lock(con: Connection, user_id: UserId) -> None:
    """Lock the user until the transaction ends."""
    await con.execute(SQL.lock, user_id)


async def page(con: Connection, *, after: UUID, limit: int) -> list[User]:
    """Return a page of users."""
    return [user_of(row) for row in await con.fetch(SQL.page, after, limit)]


async def lock_operators(con: Connection) -> list[UserId]:
    """Lock all operators until the transaction ends, and return two of those that are not disabled."""
    await con.execute(SQL.lock_changes)
    return [row["id"] for row in await con.fetch(SQL.operators)]


async def update(con: Connection, user_id: UserId, *, operator: bool, disabled: bool) -> User:
    """Update whether the user is an operator, and disabled; the time since when stays."""
    return user_of(await con.fetchrow(SQL.update, user_id, operator, disabled))


async def insert_key(
    con: Connection,
    key_id: KeyId,
    user_id: UserId,
    name: str,
    secret_hash: bytes,
    *,
    ends_at: datetime | None = None,
    read_only: bool = False,
    projects: Sequence[ProjectId] | None = None,
) -> Key:
    """Insert a key."""
    return _key(await con.fetchrow(SQL.insert_key, key_id, user_id, name, secret_hash, ends_at, read_only, projects))


async def keys(con: Connection, user_id: UserId, *, after: UUID, limit: int) -> list[Key]:
    """Return a page of the user's keys."""
    return [_key(row) for row in await con.fetch(SQL.keys, user_id, after, limit)]


async def hold_key(con: Connection, user_id: UserId, key_id: UUID) -> Key | None:
    """Return the user's key, locked until the transaction ends; None when the user has no such key."""
    row = await con.fetchrow(SQL.hold_key, user_id, key_id)
    return _key(row) if row else None


async def update_key(con: Connection, user_id: UserId, key_id: UUID, change: KeyChange) -> Key | None:
    """Update a key; None when the user has no such key."""
    row = await con.fetchrow(
        SQL.update_key,
        user_id,
        key_id,
        change.name,
        change.set_end,
        change.ends_at,
        change.read_only,
        change.set_projects,
        change.projects,
    )
    return _key(row) if row else None


async def delete_key(con: Connection, user_id: UserId, key_id: UUID) -> bool:
    """Delete a key; False when the user has no such key."""
    return await con.fetchval(SQL.delete_key, user_id, key_id) is not None


async def by_key(con: Connection, key_id: UUID) -> StoredKey | None:
    """Return the key and its user."""
    row = await con.fetchrow(SQL.by_key, key_id)
    return StoredKey(row["secret_hash"], row["expired"], row["stale"], limits_of(row), user_of(row)) if row else None


async def touch_key(con: Connection, key_id: UUID) -> None:
    """Note that the key was used, at most once a minute. A full disk refuses changes, and this is none."""
    with suppress(asyncpg.DiskFullError):
        await con.execute(SQL.touch_key, key_id)


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
