"""Queries: deletion of rows past retention, in bounded batches."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)

Kind = Literal[
    "start_errors",
    "sessions",
    "receipts",
    "agent_drains",
    "scale_decisions",
    "events",
    "tokens",
    "clients",
    "api_keys",
    "logins",
    "login_codes",
    "login_attempts",
    "live_changes",
    "lost_allocations",
    "revocations",
    "machines",
    "join_tokens",
    "bus_identities",
    "request_usage",
    "caller_use",
    "replica_usage",
    "usage_writers",
    "gone_names",
    "idempotency_keys",
    "folder_invitations",
    "metric_hours",
    "replica_counts",
    "services",
]
_STATEMENTS: dict[Kind, str] = {
    "start_errors": SQL.start_errors,
    "sessions": SQL.sessions,
    "receipts": SQL.receipts,
    "agent_drains": SQL.agent_drains,
    "scale_decisions": SQL.scale_decisions,
    "events": SQL.events,
    "revocations": SQL.revocations,
    "tokens": SQL.tokens,
    "clients": SQL.clients,
    "api_keys": SQL.api_keys,
    "logins": SQL.logins,
    "login_codes": SQL.login_codes,
    "login_attempts": SQL.login_attempts,
    "live_changes": SQL.live_changes,
    "lost_allocations": SQL.lost_allocations,
    "machines": SQL.machines,
    "join_tokens": SQL.join_tokens,
    "bus_identities": SQL.bus_identities,
    "request_usage": SQL.request_usage,
    "caller_use": SQL.caller_use,
    "replica_usage": SQL.replica_usage,
    "usage_writers": SQL.usage_writers,
    "gone_names": SQL.gone_names,
    "idempotency_keys": SQL.idempotency_keys,
    "folder_invitations": SQL.folder_invitations,
    "metric_hours": SQL.metric_hours,
    "replica_counts": SQL.replica_counts,
    "services": SQL.services,
}


async def drop(con: Connection, kind: Kind, older_than: timedelta, most: int) -> int:
    """Delete at most `most` rows of this kind older than `older_than`; return the number."""
    return _affected(await con.execute(_STATEMENTS[kind], older_than, most))


async def drop_leftovers(con: Connection, older_than: timedelta, most: int) -> int:
    """Delete rows of services deleted longer ago, at most `most` of each kind; return the number."""
    return int(await con.fetchval(SQL.leftovers, older_than, most))


def _affected(status: str) -> int:
    return int(status.rsplit(" ", 1)[-1])
