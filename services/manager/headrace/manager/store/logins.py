"""Queries: logins, their one-time codes, passwords, and how often these are tried. Secrets arrive here as hashes only."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import KeyId, LoginId, UserId
from headrace.common.contracts.vocabulary import LoginForm, LoginMethod
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.logins import Login, StoredCode, StoredLogin, StoredPassword
from headrace.manager.store.users import limits_of, user_of

SQL = Queries.beside(__file__)


async def insert(
    con: Connection,
    login_id: LoginId,
    user_id: UserId,
    secret_hash: bytes,
    *,
    form: LoginForm,
    method: LoginMethod,
    key_id: KeyId | None,
    source_address: str,
    user_agent: str,
    lifetime: timedelta,
    idle: timedelta,
) -> Login:
    """Insert a login."""
    facts = (login_id, user_id, secret_hash, form, method, key_id, source_address, user_agent, lifetime, idle)
    return Login(**await con.fetchrow(SQL.insert, *facts))


async def by_id(con: Connection, login_id: UUID, *, idle: timedelta) -> StoredLogin | None:
    """Return the login and its user."""
    row = await con.fetchrow(SQL.by_id, login_id, idle)
    if row is None:
        return None
    return StoredLogin(
        row["secret_hash"], row["form"], row["over"], row["stale"], row["key_id"], limits_of(row), user_of(row)
    )


async def touch(con: Connection, login_id: UUID) -> None:
    """Note that the login was used, at most once a minute. A full disk refuses changes, and this is none."""
    with suppress(asyncpg.DiskFullError):
        await con.execute(SQL.touch, login_id)


async def find(con: Connection, login_id: LoginId, *, idle: timedelta) -> Login | None:
    """Return the login."""
    row = await con.fetchrow(SQL.find, login_id, idle)
    return Login(**row) if row else None


async def page(con: Connection, user_id: UserId, *, idle: timedelta, after: UUID, limit: int) -> list[Login]:
    """Return a page of the user's logins that have not ended."""
    return [Login(**row) for row in await con.fetch(SQL.page, user_id, idle, after, limit)]


async def delete(con: Connection, login_id: UUID, user_id: UserId) -> bool:
    """Delete a login; False when the user has no such login."""
    return await con.fetchval(SQL.delete, login_id, user_id) is not None


async def delete_others(con: Connection, user_id: UserId, kept: LoginId | None) -> int:
    """Delete the user's logins but this one; return the number."""
    return len(await con.fetch(SQL.delete_others, user_id, kept))


async def delete_unused(con: Connection, user_id: UserId, *, keep: int) -> None:
    """Delete the user's logins, except the `keep` that were used last."""
    await con.execute(SQL.delete_unused, user_id, keep)


async def insert_code(
    con: Connection, code_id: UUID, user_id: UserId, secret_hash: bytes, key_id: KeyId | None, lifetime: timedelta
) -> datetime:
    """Insert a one-time code; return its end."""
    ends_at: datetime = await con.fetchval(SQL.insert_code, code_id, user_id, secret_hash, key_id, lifetime)
    return ends_at


async def take_code(con: Connection, code_id: UUID) -> StoredCode | None:
    """Delete a one-time code, and return it and its user."""
    row = await con.fetchrow(SQL.take_code, code_id)
    return StoredCode(row["secret_hash"], row["expired"], row["key_id"], user_of(row)) if row else None


async def delete_codes(con: Connection, user_id: UserId) -> None:
    """Delete the user's one-time codes."""
    await con.execute(SQL.delete_codes, user_id)


async def count_codes(con: Connection, user_id: UserId) -> int:
    """Return the number of the user's codes that have not expired."""
    return int(await con.fetchval(SQL.count_codes, user_id))


async def password(con: Connection, name: str) -> StoredPassword | None:
    """Return the user with this name, and the hash of the password."""
    row = await con.fetchrow(SQL.password, name)
    return StoredPassword(user_of(row), row["hash"]) if row else None


async def put_password(con: Connection, user_id: UserId, hashed: str) -> None:
    """Set the user's password."""
    await con.execute(SQL.put_password, user_id, hashed)


async def replace_hash(con: Connection, user_id: UserId, before: str, after: str) -> None:
    """Replace the hash by one of the same password, if it is still that one."""
    await con.execute(SQL.replace_hash, user_id, before, after)


async def delete_password(con: Connection, user_id: UserId) -> None:
    """Delete the user's password."""
    await con.execute(SQL.delete_password, user_id)


async def count_try(con: Connection, subject: bytes, window: timedelta) -> tuple[int, float]:
    """Count a try of a password; return (tries in its window, seconds until that ends)."""
    row = await con.fetchrow(SQL.count_try, subject, window)
    return row["attempts"], row["left_s"]


async def take_back_try(con: Connection, subject: bytes) -> None:
    """Count a try no more: it was right."""
    await con.execute(SQL.take_back_try, subject)
