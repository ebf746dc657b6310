"""Housekeeping loop: deletes data past retention, in small transactions that block no other loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain.idempotency import KEPT_FOR
from headrace.manager.domain.metric_history.interval import HISTORY_KEPT
from headrace.manager.metrics import DELETED_ROWS
from headrace.manager.store import retention, usage

log = structlog.get_logger()
BATCH = 500
"""Rows per statement: far below what the statement timeout allows."""
ROUNDS = 10
"""Batches per kind and pass; the rest is left to the next pass."""

Step = Callable[[Connection, int], Awaitable[int]]


@dataclass(frozen=True)
class Retention:
    """Retention periods by kind of data."""

    sessions: timedelta = timedelta(days=7)
    errors: timedelta = timedelta(days=30)
    receipts: timedelta = timedelta(days=90)
    events: timedelta = timedelta(days=365)
    deleted: timedelta = timedelta(days=30)
    usage: timedelta = timedelta(days=366)
    usage_hours: timedelta = timedelta(days=62)
    revocations: timedelta = timedelta(days=1)
    logins: timedelta = timedelta(minutes=10)
    live_changes: timedelta = timedelta(minutes=10)


class HousekeepingLoop:
    """Deletes rows past retention. Any number of managers may run it; each takes other rows."""

    def __init__(
        self, pool: Pool, poke: Callable[..., None], kept: Retention, *, batch: int = BATCH, rounds: int = ROUNDS
    ) -> None:
        self._pool = pool
        self._poke = poke
        self._batch = batch
        self._rounds = rounds
        ages: dict[retention.Kind, timedelta] = {
            "start_errors": kept.errors,
            "lost_allocations": kept.deleted,
            "sessions": kept.sessions,
            "receipts": kept.receipts,
            "agent_drains": kept.receipts,
            "scale_decisions": kept.events,
            "events": kept.events,
            "tokens": kept.deleted,
            "clients": kept.deleted,
            "api_keys": kept.deleted,
            "logins": kept.logins,
            "login_codes": kept.logins,
            "login_attempts": kept.logins,
            "live_changes": kept.live_changes,
            "machines": kept.deleted,
            "join_tokens": kept.deleted,
            "bus_identities": kept.deleted,
            "revocations": kept.revocations,
            "request_usage": kept.usage,
            "caller_use": kept.usage,
            "replica_usage": kept.usage,
            "usage_writers": kept.usage,
            "gone_names": kept.usage,
            "idempotency_keys": KEPT_FOR,
            "folder_invitations": kept.logins,
            "metric_hours": HISTORY_KEPT,
            "replica_counts": HISTORY_KEPT,
        }
        self._steps: dict[str, Step] = {
            **{kind: partial(_drop, kind, age) for kind, age in ages.items()},
            "usage_hours": lambda con, most: usage.sum_up_days(con, kept.usage_hours, most),
            "leftovers": lambda con, most: retention.drop_leftovers(con, kept.deleted, most),
            "services": partial(_drop, "services", kept.deleted),
        }

    async def one_pass(self) -> None:
        """Process each kind in turn, at most `rounds` batches of it.

        One that fails does not stop the others; the pass fails at its end.
        """
        failed: Exception | None = None
        more = False
        for name, step in self._steps.items():
            try:
                more = await self._one_kind(name, step) or more
            except Exception as error:  # the other kinds go on
                log.exception("housekeeping_failed", kind=name)
                failed = error
        if failed is not None:
            raise failed
        if more:
            self._poke("housekeeping")

    async def _one_kind(self, name: str, step: Step) -> bool:
        """Delete batches of one kind; return whether there may be more."""
        dropped = self._batch
        for _ in range(self._rounds):
            async with transaction(self._pool) as con:
                dropped = await step(con, self._batch)
            DELETED_ROWS.labels(name).inc(dropped)
            if dropped < self._batch:
                return False
        return True


async def _drop(kind: retention.Kind, age: timedelta, con: Connection, most: int) -> int:
    return await retention.drop(con, kind, age, most)
