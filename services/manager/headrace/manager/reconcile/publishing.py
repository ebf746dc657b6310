"""Publishes last values: the state is read again while the subject's row is locked, so generations follow the order of reads."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

import structlog

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish_last
from headrace.common.bus.stored import stored_generations
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.metrics import TABLES_PUBLISHED
from headrace.manager.store import publications
from headrace.manager.store.tables import Draft

log = structlog.get_logger()
T = TypeVar("T", NodePlan, RouteTable, RuleTable)
Read = Callable[[Connection, Sequence[Any] | None], Awaitable[list[Draft[T]]]]
Mark = Callable[[Connection, T], Awaitable[None]]
WORKERS = 3
"""Tables on their way at once."""
MOST_FAILURES = 5
"""One table that the bus refuses does not hold up the others; so many are the bus."""


class Publishing(Generic[T]):
    """The loop of one kind of table.

    Reads: everything the tables are made of, in one statement. Changes: the generation of a table whose content changed,
    and the stream. At the start, after the bus came back and every `verify` it compares what the stream holds with what was
    published last, and publishes what is missing or old there.
    """

    def __init__(
        self, pool: Pool, bus: Bus, kind: type[T], *, read: Read[T], mark: Mark[T] | None = None, verify: timedelta
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._kind: type[T] = kind
        self._read: Read[T] = read
        self._mark: Mark[T] | None = mark
        self._verify_s = verify.total_seconds()
        self._verified: float | None = None
        self._published: dict[str, object] = {}
        self._floor: dict[str, int] = {}
        bus.on_reconnect(self.verify_soon)

    def verify_soon(self) -> None:
        """Trust nothing that the stream is thought to hold: the next pass looks."""
        self._verified = None

    async def one_pass(self) -> None:
        """Publish every table that changed. Raises BusUnavailable when the bus did not take one; the next pass tries again."""
        async with self._pool.acquire(timeout=15) as con:
            drafts = await self._read(con, None)
        if self._verified is None or time.monotonic() - self._verified > self._verify_s:
            await self._verify(drafts)
        present = {draft.subject for draft in drafts}
        self._published = {subject: facts for subject, facts in self._published.items() if subject in present}
        await self._publish_all([d for d in drafts if d.unmarked or self._published.get(d.subject) != d.facts])

    async def _verify(self, drafts: Sequence[Draft[T]]) -> None:
        """Forget what the stream does not hold, and at the start learn what it does."""
        started = time.monotonic()
        stored = await stored_generations(self._bus, self._kind)
        # Read after the stream: a generation is committed before it is published.
        async with self._pool.acquire(timeout=15) as con:
            known = await publications.known(con, [draft.subject for draft in drafts])
        for draft in drafts:
            generation, digest = known.get(draft.subject, (0, b""))
            held = stored.get(draft.subject, 0)
            if held > generation:  # the database was restored from an older copy: readers would refuse what it counts
                self._floor[draft.subject] = held
            if held != generation or generation == 0:
                self._published.pop(draft.subject, None)
            elif draft.subject not in self._published and _digest(draft.build()) == digest:
                self._published[draft.subject] = draft.facts
        self._verified = started

    async def _publish_all(self, due: Sequence[Draft[T]]) -> None:
        waiting, failures = iter(due), list[BusUnavailable]()

        async def work() -> None:
            for draft in waiting:  # shared by the workers
                if len(failures) >= MOST_FAILURES:
                    return
                try:
                    await self._publish(draft)
                except BusUnavailable as problem:
                    self._published.pop(draft.subject, None)
                    failures.append(problem)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(WORKERS, len(due))):
                group.create_task(work())
        if failures:
            raise failures[0]

    async def _publish(self, seen: Draft[T]) -> None:
        subject = seen.subject
        async with transaction(self._pool) as con:
            generation, digest = await publications.lock(con, subject)
            fresh = await self._read(con, [seen.key])
            if not fresh:
                return
            content = fresh[0].build()
            floor, new = self._floor.get(subject, 0), _digest(content)
            if new != digest or generation < floor:
                generation = max(generation, floor) + 1
                await publications.advance(con, subject, generation, new)
            table = content.model_copy(update={"generation": generation})
            if self._mark is not None:
                await self._mark(con, table)
        await publish_last(self._bus, table)
        TABLES_PUBLISHED.labels(self._kind.__name__).inc()
        self._published[subject] = fresh[0].facts
        self._floor.pop(subject, None)
        if new != digest:
            log.info("table_published", subject=subject, generation=generation)


def _digest(table: NodePlan | RouteTable | RuleTable) -> bytes:
    return hashlib.sha256(table.encode()).digest()
