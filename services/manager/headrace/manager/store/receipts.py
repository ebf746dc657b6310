"""Queries: receipts of drains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.reports import DrainReceipt
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.lifecycle.receipts import Drain, DrainShare
from headrace.manager.domain.lifecycle.replicas import Retire
from headrace.manager.domain.records.receipts import Receipt

SQL = Queries.beside(__file__)


async def left(con: Connection, action: Retire) -> None:
    """Begin the receipt of a replica that starts draining; end that of one that finished.

    Call it in the transaction of the transition.
    """
    if action.status == "draining":
        await con.execute(SQL.began, [action.id])
    else:
        await con.execute(SQL.ended, action.id)


async def begin(con: Connection, session_ids: Iterable[SessionId]) -> None:
    """Insert receipts for those of these replicas that are leaving and have none."""
    await con.execute(SQL.began, list(session_ids))


async def open_ones(con: Connection) -> list[Drain]:
    """Return the drains that app-proxies may still report on, locked; those that another manager has locked are left out."""
    return [Drain(**_with_parts(row)) for row in await con.fetch(SQL.open)]


async def keep(con: Connection, drain: Drain) -> None:
    """Store the merged shares of a drain."""
    shares = {
        proxy_id: {"in_flight": part.in_flight, **part.counts.model_dump()} for proxy_id, part in drain.parts.items()
    }
    await con.execute(SQL.keep, drain.session_id, shares, drain.counted)


async def page(
    con: Connection, service_id: ServiceId, *, revision: int | None, before: UUID | None, limit: int | None
) -> list[Receipt]:
    """Return a page of receipts (of the rollout of `revision`), newest first."""
    return [Receipt(**_with_parts(row)) for row in await con.fetch(SQL.page, service_id, revision, before, limit)]


async def of_agent_drain(con: Connection, drain_id: UUID) -> list[Receipt]:
    """Return the receipts of the replicas that left a machine during its drain, newest first."""
    return [Receipt(**_with_parts(row)) for row in await con.fetch(SQL.of_agent_drain, drain_id)]


async def left_behind(con: Connection, service_id: ServiceId, revision: int) -> int:
    """Return the number of replicas of earlier revisions that take requests, or will."""
    return int(await con.fetchval(SQL.left_behind, service_id, revision))


def _with_parts(row: Mapping[str, Any]) -> dict[str, Any]:
    parts = {
        proxy_id: DrainShare(share["in_flight"], DrainReceipt.model_validate(share))
        for proxy_id, share in row["shares"].items()
    }
    return {**{name: value for name, value in row.items() if name != "shares"}, "parts": parts}
