"""Queries: usage of callers and of machines."""

from __future__ import annotations

from datetime import timedelta

from headrace.common.contracts.messages.usage import UsageBatch
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.usage import UsageFilter, UsageSum

SQL = Queries.beside(__file__)


async def store(con: Connection, batch: UsageBatch) -> int:
    """Add a batch, in the caller's transaction, and return the number of rows that it added to; 0 if it was stored before."""
    if await con.fetchval(SQL.claim, batch.proxy_id, batch.writer, batch.sequence) is None:
        return 0
    rows = batch.model_dump(mode="json", include={"rows"})["rows"]
    added = int(await con.fetchval(SQL.add, rows))
    await con.execute(SQL.note_callers, rows)
    return added


async def summed(con: Connection, wanted: UsageFilter, *, most: int) -> list[UsageSum]:
    """Return at most `most` sums in order of time and id."""
    found = await con.fetch(
        SQL.summed, wanted.since, wanted.until, wanted.step, wanted.by, wanted.projects, wanted.service_id, most
    )
    return [UsageSum(**row) for row in found]


async def sum_up_days(con: Connection, older_than: timedelta, most: int) -> int:
    """Add hours older than `older_than` to their day, at most `most` rows; return the number."""
    return int(await con.fetchval(SQL.sum_up_days, older_than, most))
