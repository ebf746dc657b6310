"""Publishes last values: the state is read again while the subject's row is locked, so generations follow the order of reads."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish_last
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.store import publications

log = structlog.get_logger()
T = TypeVar("T", bound=NodePlan | RouteTable | RuleTable)
Read = Callable[[Connection, Sequence[Any] | None], Awaitable[list[T]]]
Mark = Callable[[Connection, T], Awaitable[None]]


class Publishing(Generic[T]):
    """The loop of one kind of table.

    Reads: everything the tables are made of, in one statement. Changes: the generation of a table whose content changed,
    and the stream. What did not change is published again every `reassert`, and after the bus came back.
    """

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        *,
        read: Read[T],
        key: Callable[[T], Any],
        mark: Mark[T] | None = None,
        reassert: timedelta,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._read = read
        self._key = key
        self._mark = mark
        self._reassert_s = reassert.total_seconds()
        self._published: dict[str, tuple[bytes, int, float]] = {}
        bus.on_reconnect(self._published.clear)

    async def one_pass(self) -> None:
        """Publish every table that changed or is due. Raises BusUnavailable when the bus did not take one; the rest waits for the next pass."""
        async with self._pool.acquire(timeout=15) as con:
            tables = await self._read(con, None)
        present = set()
        for table in tables:
            subject = table.address()
            present.add(subject)
            digest, _, at = self._published.get(subject, (b"", 0, 0.0))
            if digest != _digest(table) or time.monotonic() - at > self._reassert_s:
                await self._publish(table)
        for subject in self._published.keys() - present:
            del self._published[subject]

    async def _publish(self, seen: T) -> None:
        subject = seen.address()
        async with transaction(self._pool) as con:
            generation, digest = await publications.lock(con, subject)
            fresh = await self._read(con, [self._key(seen)])
            if not fresh:
                return
            content = _digest(fresh[0])
            if content != digest:
                generation += 1
                await publications.advance(con, subject, generation, content)
            table: T = fresh[0].model_copy(update={"generation": generation})  # type: ignore[assignment] # of its own class
            if self._mark is not None:
                await self._mark(con, table)
        if self._published.get(subject, (b"", 0, 0.0))[1] > generation:
            return
        try:
            await publish_last(self._bus, table)
        except BusUnavailable:
            self._published.pop(subject, None)
            raise
        self._published[subject] = (content, generation, time.monotonic())
        if content != digest:
            log.info("table_published", subject=subject, generation=generation)


def _digest(table: T) -> bytes:
    return hashlib.sha256(table.encode()).digest()
