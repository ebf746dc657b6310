"""Generations of what is published, one row per subject."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)


async def known(con: Connection, subjects: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    """Return (generation, digest) of those that were ever published."""
    return {row["subject"]: (row["generation"], bytes(row["digest"])) for row in await con.fetch(SQL.known, subjects)}


async def lock(con: Connection, subject: str) -> tuple[int, bytes]:
    """Lock the subject until the transaction ends; return its generation (0: never published) and digest."""
    await con.execute(SQL.ensure, subject)
    row = await con.fetchrow(SQL.lock, subject)
    assert row is not None  # noqa: S101 - made by the statement before
    return row["generation"], bytes(row["digest"])


async def advance(con: Connection, subject: str, generation: int, digest: bytes) -> None:
    """Keep the new generation and what it holds."""
    await con.execute(SQL.advance, subject, generation, digest)
