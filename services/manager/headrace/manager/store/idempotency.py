"""Queries: idempotency keys, each inserted in the transaction of the creation that it is of."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.ids import UserId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.idempotency import KEPT_FOR, MAX_KEYS, KeptAnswer

SQL = Queries.beside(__file__)


async def find(con: Connection, credential: UUID, key: str) -> KeptAnswer | None:
    """Return what was answered to the request with this key; None: none was carried out."""
    row = await con.fetchrow(SQL.find, credential, key, KEPT_FOR)
    return None if row is None else KeptAnswer(**row)


async def insert(con: Connection, credential: UUID, user_id: UserId, key: str, kept: KeptAnswer) -> bool:
    """Insert the key with its answer; return False if it is known. Waits for a transaction that inserts the same."""
    args = (kept.request_hash, kept.answer, kept.whole, KEPT_FOR, MAX_KEYS - 1)
    return await con.fetchval(SQL.insert, credential, key, user_id, *args) is not None


async def delete(con: Connection, credential: UUID, key: str) -> None:
    """Delete the key."""
    await con.execute(SQL.delete, credential, key)
