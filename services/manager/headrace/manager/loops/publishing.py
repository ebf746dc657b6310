"""Publication of last values: plans, route tables, rule tables.

The state is read again while the subjects' rows are locked, so generations follow the order of reads.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from headrace.common.bus.connect import Bus
from headrace.common.bus.followed import FollowedStream
from headrace.common.bus.publish import publish_last
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.envelope import in_generation
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain.records.publications import Content, Publication
from headrace.manager.loops.passed_over import words
from headrace.manager.metrics import TABLES_PUBLISHED, TABLES_UNBUILT
from headrace.manager.store import publications
from headrace.manager.store.tables import PendingPublication

log = structlog.get_logger()
T = TypeVar("T", NodePlan, RouteTable, RuleTable)

BATCH = 100
"""Tables in one transaction."""
WORKERS = 3
"""Batches on their way at once."""
AT_ONCE = 32
"""Tables of one batch that wait for their acknowledgement at once."""
MOST_FAILURES = 5
"""One table that the bus refuses does not hold up the others; so many are the bus."""
LOOK_S = 1.0
"""Between two parts of the slow look."""
LOOK, LOOK_MOST_S = 20, 0.05
"""Tables that the slow look reads at once; it goes on up to `BATCH` of them, and begins no more after so long."""
REMOVALS = 500
"""Old removals taken out of the stream by one comparison, and forgotten services whose removal is told again by it."""
MAX_BYTES = 7_900_000
"""NATS takes 8 MB, fields of the head included."""

NOTHING = Content(b"", 0)


class Source(Protocol[T]):
    """Source of one kind of table."""

    kind: str
    prefix: str
    """A subject without its last part, which is the key."""
    told: bool
    """Whether readers are told that something is gone before its subject ends; else nobody reads it any more."""

    async def keys(self, con: Connection, after: str, most: int) -> list[str]:
        """Return the next keys in their order; '' is before all."""

    async def read(self, con: Connection, keys: Sequence[str]) -> list[PendingPublication[T]]:
        """Return a pending publication for each of these of which there is something to publish."""

    async def mark(self, con: Connection, tables: Sequence[T]) -> None:
        """Note in the database what these tables tell first."""


class Publishing(Generic[T]):
    """Loop that publishes one kind of table.

    Reads: what changed (`table_changes`, which triggers write), and of those tables everything they are made of; each pass
    besides looks at some of all tables in turn, as the slow certainty. Changes: the generation of a table whose content changed,
    and the stream. At the start, after the bus came back and every `verify` it compares what the stream holds with what was
    published last, publishes what is missing or old there, and ends removals that were told for `removal_kept`; a reader that
    comes later and still has such a service (`claimed`: by key, the generation that it has) is told again, and so is everybody
    where the stream has a table of one again.
    """

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        kind: type[T],
        source: Source[T],
        *,
        verify: timedelta,
        removal_kept: timedelta = timedelta(minutes=10),
        claimed: Callable[[], Mapping[ServiceId, int]] = dict,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._kind: type[T] = kind
        self._source: Source[T] = source
        self._verify_s = verify.total_seconds()
        self._removal_kept = removal_kept
        self._claimed = claimed
        self._stream = FollowedStream(bus, kind)
        self._verified: float | None = None
        self._looked = 0.0
        self._cursor = ""
        """Up to where the slow look has come; '' is before all."""
        self._whole = True
        """Whether the slow look goes on without a pause up to the end, as at the start."""
        self._fresh: set[str] = set()
        """Tables that this pass made already, from rows that it read: the slow look leaves them out."""
        self._again: dict[str, None] = {}
        """Tables that are to be looked at although nothing says that they changed."""
        self._unsent: set[str] = set()
        """Tables whose newest generation the stream lacks."""
        self.unbuilt: dict[str, str] = {}
        """Subjects whose table cannot be made from its rows, and why. Readers keep the one before."""
        bus.on_reconnect(self.verify_soon)

    def verify_soon(self) -> None:
        """Trust nothing that the stream is thought to hold: the next pass looks."""
        self._verified = None

    async def one_pass(self) -> None:
        """Publish every table that changed. Raises BusUnavailable when the bus did not take one; the next pass tries again."""
        if not self._bus.connected:
            async with transaction(self._pool) as con:
                await publications.fold_changes(con, self._source.kind)
            raise BusUnavailable("not connected to NATS")
        if self._verified is None or time.monotonic() - self._verified > self._verify_s:
            self._verified = time.monotonic()  # before it, so that a bus that comes back meanwhile is looked at again
            try:
                await self._verify()
            except BaseException:
                self._verified = None
                raise
        failures: list[BusUnavailable] = []
        self._fresh.clear()
        await self._publish_all(failures)
        more = True
        while more and not failures:
            more = await self._look()
            await self._publish_all(failures)
        if failures:
            raise failures[0]

    async def _verify(self) -> None:
        """Find what the stream does not hold, and end what it holds no longer for anybody."""
        await self._stream.look()
        held, prefix = self._stream.held, self._source.prefix
        late = {str(key): there for key, there in self._claimed().items() if f"{prefix}{key}" not in held}
        # Read after the stream: a generation is committed before it is published.
        async with self._pool.acquire(timeout=15) as con:
            known, over = await publications.known(con, prefix, self._removal_kept)
            # A bus server that was killed brings back what a removal had replaced, once the removal was taken out; one that
            # was restored from an old copy, what is long forgotten here.
            late |= {_key(subject): held[subject].generation for subject in held.keys() - known.keys()}
            revived: list[str] = await publications.revive(con, prefix, late, REMOVALS)
        for subject, generation in known.items():
            stored = held[subject].generation if subject in held else 0
            if stored == generation:
                self._unsent.discard(subject)
            else:
                self._unsent.add(subject)
        self._again |= dict.fromkeys(_key(subject) for subject in (*self._unsent, *revived))
        ending = [subject for subject in over if subject not in self._unsent or not self._source.told][:REMOVALS]
        await self._end_removals({subject: known[subject] for subject in ending})

    async def _end_removals(self, over: Mapping[str, int]) -> None:
        """Forget services and machines that are gone: the message first, so that one that is left over is found again."""
        for subject in over:
            await self._stream.remove(subject)
            self._unsent.discard(subject)
        if over:
            async with transaction(self._pool) as con:
                await publications.forget(con, over)
            log.info("removals_forgotten", message=self._kind.__name__, subjects=len(over))

    async def _look(self) -> bool:
        """Compare some more tables with what was published. Returns whether the look goes on without a pause.

        What has been looked at counts also where the pass is cut short.
        """
        if not self._whole and time.monotonic() - self._looked < LOOK_S:
            return False
        self._looked = time.monotonic()
        most = BATCH if self._whole else LOOK
        for _ in range(BATCH // most):
            async with self._pool.acquire(timeout=15) as con:
                keys = await self._source.keys(con, self._cursor, most)
                others = [key for key in keys if key not in self._fresh]
                unpublished = await self._source.read(con, others) if others else []
                known = await publications.digests(con, [pending.subject for pending in unpublished])
            for pending in unpublished:
                last = known.get(pending.subject)  # without one it is made just once, when it is published
                due = pending.unmarked or pending.subject in self.unbuilt or last is None
                if due or _made(pending).content.digest != last:
                    self._again[pending.key] = None
            if len(keys) < most:
                self._cursor, self._whole = "", False
                break
            self._cursor = keys[-1]
            if time.monotonic() - self._looked > LOOK_MOST_S:
                break
        return self._whole

    async def _publish_all(self, failures: list[BusUnavailable]) -> None:
        """Publish what changed and what is to be looked at again, in batches."""
        due = list(self._again)
        batches = [due[at : at + BATCH] for at in range(0, len(due), BATCH)]

        async def work() -> bool:
            given = batches.pop() if batches else []
            more = await self._publish_batch(given, failures)
            return (more or bool(batches)) and len(failures) < MOST_FAILURES

        async def work_on() -> None:
            while await work():
                pass

        if await work():
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(work_on())

    async def _publish_batch(self, given: Sequence[str], failures: list[BusUnavailable]) -> bool:
        """Give new generations to those of the tables that changed, and send them. Returns whether more may have changed."""
        async with transaction(self._pool) as con:
            changed: list[str] = await publications.changes(con, self._source.kind, BATCH)
            if "" in changed:
                self._cursor, self._whole = "", True
                self._fresh.clear()
            keys = list(dict.fromkeys(key for key in (*given, *changed) if key))
            self._fresh.update(keys)  # before they are read, so that what says later that all changed is not missed
            tables = await self._prepare(con, keys)
        for key in given:
            self._again.pop(key, None)
        await self._send(tables, failures)
        return len(changed) >= BATCH

    async def _prepare(self, con: Connection, keys: Sequence[str]) -> list[tuple[T, bytes]]:
        """Keep the newest generations of these tables. Return those that the stream lacks, with their bytes."""
        if not keys:
            return []
        subjects = [self._source.prefix + key for key in keys]
        before = await publications.lock(con, subjects)
        unpublished = await self._source.read(con, keys)
        tables, unsent = await self._advance(con, unpublished, before)
        gone = set(subjects) - {pending.subject for pending in unpublished}
        self._unsent -= gone
        for subject in gone:
            self.unbuilt.pop(subject, None)
        TABLES_UNBUILT.labels(self._kind.__name__).set(len(self.unbuilt))
        await publications.drop_unused(con, sorted(gone))
        waiting = {pending.key for pending in unpublished if pending.unmarked}
        await self._source.mark(con, [table for table in tables if _key(table.address()) in waiting])
        return unsent

    async def _advance(
        self, con: Connection, unpublished: Iterable[PendingPublication[T]], before: Mapping[str, Publication]
    ) -> tuple[list[T], list[tuple[T, bytes]]]:
        """Keep the newest generations; a table that cannot be made is passed over.

        Returns the tables in those generations, and those of them that the stream lacks, with their bytes.
        """
        tables: list[T] = []
        unsent: list[tuple[T, bytes]] = []
        new: dict[str, tuple[int, Content]] = {}
        problems: dict[str, str | None] = {}
        for pending in unpublished:
            subject, last = pending.subject, before[pending.subject]
            made = _made(pending)
            content, problem = made.content, made.problem
            if problem != last.problem:
                problems[subject] = problem
            if made.table is None:
                self._cannot_build(subject, problem or "")
                continue
            self.unbuilt.pop(subject, None)
            generation = last.generation
            # Above it where the database was restored from an older copy, or a machine that was forgotten came back: readers
            # would refuse what it counts.
            floor = max(pending.floor, self._stream.held[subject].generation if subject in self._stream.held else 0)
            if content.digest != last.digest or generation < floor:
                generation = max(generation, floor) + 1
                new[subject] = (generation, content)
                self._unsent.add(subject)
            table = made.table.model_copy(update={"generation": generation})
            tables.append(table)
            if subject in self._unsent:
                unsent.append((table, in_generation(made.data, generation)))
        await publications.advance(con, new)
        await publications.tell(con, problems)
        return tables, unsent

    def _cannot_build(self, subject: str, why: str) -> None:
        if self.unbuilt.get(subject) != why:
            log.error("table_not_built", subject=subject, why=why)
        self.unbuilt[subject] = why

    async def _send(self, tables: Iterable[tuple[T, bytes]], failures: list[BusUnavailable]) -> None:
        """Send them, several at once. What the bus does not take is sent again by the next pass."""
        waiting = iter(tables)
        sent: list[str] = []

        async def send() -> None:
            for table, data in waiting:  # shared by the senders
                if len(failures) >= MOST_FAILURES:
                    self._again[_key(table.address())] = None
                    continue
                try:
                    await self._send_one(table, data)
                    sent.append(table.address())
                except BusUnavailable as problem:
                    failures.append(problem)
                    self._again[_key(table.address())] = None

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(send())
        if sent:
            log.info("tables_published", message=self._kind.__name__, tables=len(sent), subjects=sent[:3])

    async def _send_one(self, table: T, data: bytes) -> None:
        subject = table.address()
        sequence = await publish_last(self._bus, table, encoded=data)
        self._stream.wrote(subject, table.generation, sequence)
        self._unsent.discard(subject)
        TABLES_PUBLISHED.labels(self._kind.__name__).inc()
        log.debug("table_published", subject=subject, generation=table.generation)


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    """A table in generation 1 with its bytes; or, where its rows make none, why."""

    table: T | None
    data: bytes
    content: Content
    problem: str | None = None


def _made(pending: PendingPublication[T]) -> _Made[T]:
    try:
        table = pending.build()
        data = table.encode() if pending.encode is None else pending.encode(table)
    except (ValueError, TypeError, KeyError) as error:
        problem = f"it cannot be made from what is stored: {words(error)}"[: publications.MAX_PROBLEM]
        return _Made(None, b"", NOTHING, problem)
    if len(data) > MAX_BYTES:
        return _Made(None, b"", NOTHING, f"it has {len(data):,} bytes; the bus carries {MAX_BYTES:,}")
    return _Made(table, data, Content(hashlib.sha256(data).digest(), len(data)))


def _key(subject: str) -> str:
    return subject.rsplit(".", 1)[-1]
