"""Publication loop of last-value streams: plans, route tables, rule tables.

State is read again while the subjects' rows are locked, so generations follow the order of reads.
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
from headrace.common.bus.plan_encryption import encrypted_size
from headrace.common.bus.publish import publish_last
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.envelope import in_generation
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import PassDeferred
from headrace.manager.domain.records.publications import Content, Publication
from headrace.manager.loops.row_errors import error_text
from headrace.manager.metrics import TABLES_PUBLISHED, TABLES_UNBUILT
from headrace.manager.store import publications
from headrace.manager.store.tables import PendingPublication

log = structlog.get_logger()
T = TypeVar("T", NodePlan, RouteTable, RuleTable)

BATCH = 100
"""Tables per transaction."""
WORKERS = 3
"""Concurrent batches."""
AT_ONCE = 32
"""Concurrent publishes per batch."""
MAX_REFUSED_TABLES = 5
"""Number of refused tables after which the pass ends: one refused table does not block the others, this many mean that
the bus is down."""
LOOK_S = 1.0
"""Pause between two parts of the slow comparison."""
LOOK, MAX_LOOK_S = 20, 0.05
"""Tables that the slow look reads at once; it goes on up to `BATCH` of them, and begins no more after so long."""
REMOVALS = 500
"""Bound on old removals deleted from the stream, and on removals published again, per verification."""
MAX_BYTES = 7_900_000
"""Size limit of a table: NATS takes 8 MB, headers included."""

NOTHING = Content(b"", 0)


class Source(Protocol[T]):
    """Builder of one kind of table from database rows."""

    kind: str
    prefix: str
    """Subject without its last token, which is the key."""
    told: bool
    """Whether readers get a removal before the subject is deleted; otherwise nobody reads it any more."""

    async def keys(self, con: Connection, after: str, most: int) -> list[str]:
        """Return the next keys in order after `after`; '' is before all."""

    async def read(self, con: Connection, keys: Sequence[str]) -> list[PendingPublication[T]]:
        """Return a pending publication for each of these keys that has one."""

    async def mark(self, con: Connection, tables: Sequence[T]) -> None:
        """Record the generation that first contains certain facts (drains, removed kernels)."""


class PublishingLoop(Generic[T]):
    """Loop that publishes one kind of table.

    Reads: changed keys (`table_changes`, which triggers write), and everything those tables are built from; each pass
    besides compares some of all tables in turn, which repairs missed changes. Writes: the generation of a table whose
    content changed, and the stream. At the start, after the bus connection returned and every `verify` it compares the
    stream with the last publications, publishes what is missing or old there, and deletes removals published longer
    than `removal_kept` ago; a reader that comes later and still has such a service (`claimed`: by key, the generation
    that it has) gets the removal again, and so does everybody when the stream has such a table again.
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
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._kind: type[T] = kind
        self._source: Source[T] = source
        self._verify_s = verify.total_seconds()
        self._removal_kept = removal_kept
        self._claimed = claimed
        self._monotonic = monotonic
        self._stream = FollowedStream(bus, kind)
        self._verified: float | None = None
        self._looked = 0.0
        self._cursor = ""
        """Position of the slow comparison; '' is before all."""
        self._whole = True
        """Whether the slow comparison runs to the end without a pause, as at the start."""
        self._fresh: set[str] = set()
        """Tables already built in this pass: the slow comparison skips them."""
        self._again: dict[str, None] = {}
        """Tables to compare although no change of them is known."""
        self._unsent: set[str] = set()
        """Tables whose newest generation the stream lacks."""
        self.unbuilt: dict[str, str] = {}
        """Subjects whose table cannot be built from its rows, and why. Readers keep the previous one."""
        bus.on_reconnect(self.verify_soon)

    def verify_soon(self) -> None:
        """Make the next pass verify the stream's content."""
        self._verified = None

    async def one_pass(self) -> None:
        """Publish every changed table.

        Raises BusUnavailable when the bus did not take one, and PassDeferred while it is not connected; the next pass
        tries again.
        """
        if not self._bus.connected:
            async with transaction(self._pool) as con:
                await publications.fold_changes(con, self._source.kind)
            raise PassDeferred("not connected to NATS")
        if self._verified is None or self._monotonic() - self._verified > self._verify_s:
            self._verified = self._monotonic()  # before it, so that a bus that comes back meanwhile is looked at again
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
            more = await self._compare_some()
            await self._publish_all(failures)
        if failures:
            raise failures[0]

    async def _verify(self) -> None:
        """Find tables missing in the stream, and delete those that no reader needs any more."""
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
        """Delete the subjects of removed services and machines: the message first, so that one left over is found again."""
        for subject in over:
            await self._stream.remove(subject)
            self._unsent.discard(subject)
        if over:
            async with transaction(self._pool) as con:
                await publications.forget(con, over)
            log.info("tombstones_deleted", message=self._kind.__name__, subjects=len(over))

    async def _compare_some(self) -> bool:
        """Compare some more tables with their last publication. Return whether the comparison continues without a pause.

        Progress is kept when the pass is interrupted.
        """
        if not self._whole and self._monotonic() - self._looked < LOOK_S:
            return False
        self._looked = self._monotonic()
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
            if self._monotonic() - self._looked > MAX_LOOK_S:
                break
        return self._whole

    async def _publish_all(self, failures: list[BusUnavailable]) -> None:
        """Publish changed tables and those to be compared again, in batches."""
        due = list(self._again)
        batches = [due[at : at + BATCH] for at in range(0, len(due), BATCH)]

        async def work() -> bool:
            given = batches.pop() if batches else []
            more = await self._publish_batch(given, failures)
            return (more or bool(batches)) and len(failures) < MAX_REFUSED_TABLES

        async def work_on() -> None:
            while await work():
                pass

        if await work():
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(work_on())

    async def _publish_batch(self, given: Sequence[str], failures: list[BusUnavailable]) -> bool:
        """Advance the generations of changed tables among these, and send them. Return whether more may have changed."""
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
        """Store the newest generations of these tables. Return those that the stream lacks, with their bytes."""
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
        """Store the newest generations; a table that cannot be built is skipped.

        Return the tables in those generations, and those of them that the stream lacks, with their bytes.
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
                encrypt = pending.encrypt
                data = in_generation(made.data, generation) if encrypt is None else encrypt(made.table, generation)
                unsent.append((table, data))
        await publications.advance(con, new)
        await publications.set_problems(con, problems)
        return tables, unsent

    def _cannot_build(self, subject: str, why: str) -> None:
        if self.unbuilt.get(subject) != why:
            log.error("table_not_built", subject=subject, why=why)
        self.unbuilt[subject] = why

    async def _send(self, tables: Iterable[tuple[T, bytes]], failures: list[BusUnavailable]) -> None:
        """Send tables, several at once. One that the bus does not take is sent again by the next pass."""
        waiting = iter(tables)
        sent: list[str] = []

        async def send() -> None:
            for table, data in waiting:  # shared by the senders
                if len(failures) >= MAX_REFUSED_TABLES:
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
    """A table in generation 1 with its bytes; or the error of building it."""

    table: T | None
    data: bytes
    content: Content
    problem: str | None = None


def _made(pending: PendingPublication[T]) -> _Made[T]:
    try:
        table = pending.build()
        data = table.encode() if pending.encode is None else pending.encode(table)
    except (ValueError, TypeError, KeyError) as error:
        problem = f"it cannot be made from what is stored: {error_text(error)}"[: publications.MAX_PROBLEM]
        return _Made(None, b"", NOTHING, problem)
    bytes_ = len(data) + pending.hidden_bytes
    size = bytes_ if pending.encrypt is None else encrypted_size(bytes_)
    if size > MAX_BYTES:
        return _Made(None, b"", NOTHING, f"it has {size:,} bytes; the bus carries {MAX_BYTES:,}")
    # Of what is said to whom: encrypted, the same makes other bytes each time.
    digest = hashlib.sha256((pending.reader_key or "").encode() + data).digest()
    return _Made(table, data, Content(digest, bytes_))


def _key(subject: str) -> str:
    return subject.rsplit(".", 1)[-1]
