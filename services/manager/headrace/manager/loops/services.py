"""Services loop: reconciles live sessions with what each service wants."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE, Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.lifecycle import states, trial
from headrace.manager.domain.lifecycle.replicas import (
    Action,
    Create,
    DesiredReplicas,
    Ended,
    Failed,
    ObservedReplica,
    Recovered,
    Retire,
    Served,
    decide,
    stuck,
)
from headrace.manager.domain.lifecycle.surplus import replaceable
from headrace.manager.domain.lifecycle.work_queue import WorkQueue
from headrace.manager.domain.placement.scheduler import preemption_candidates
from headrace.manager.domain.records.sessions import LiveSession, ObservedRevs, ReconciledService
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.loops.desired import desired_replicas, settled
from headrace.manager.loops.first_replicas import Start, create_first
from headrace.manager.loops.rollouts import write_rollout
from headrace.manager.loops.row_errors import error_text, skip_row
from headrace.manager.metrics import ENDED, SESSIONS, STARTS_FAILED
from headrace.manager.store import ends, failed_starts, receipts, rollouts, sessions

log = structlog.get_logger()
CHUNK = 200
"""Services read per query."""
CHUNKS = 10
"""Chunks per pass; the rest of the queue is left to the next pass, which follows at once."""
AT_ONCE = 4
"""Services reconciled concurrently, each in a transaction of its own: they wait for the database, not for each other."""
TURN = 500
"""Services reconciled per period without a known change."""
MAX_VALIDATIONS = 1000
DATABASE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,
)
"""Errors of the database itself (unreachable, full, out of connections), not of a row. They end the pass, which is
retried."""
_FIRST = ServiceId(UUID(int=0))


class ServicesLoop:
    """Reads: services, live sessions, lost machines, drains.

    Writes: sessions, start errors, deletions, begin and end of drains.

    Each pass reconciles services that changed since the last one. Those in transition are reconciled every period, and
    all others in turn, `TURN` in a period: a missed change costs time, not correctness.
    """

    def __init__(
        self,
        pool: Pool,
        proxies: AppProxyReports,
        clock: Clock,
        poke: Callable[..., None],
        *,
        every: timedelta = timedelta(seconds=2),
    ) -> None:
        self._pool = pool
        self._proxies = proxies
        self._clock = clock
        self._poke = poke
        self._every = every
        self._queue = WorkQueue()
        self._since: int | None = None
        """Change mark up to which changes were handled; None before the first pass."""
        self._turn = _FIRST
        self._saw_all = False
        """Whether every service was reconciled once."""
        self._ticked: datetime | None = None
        self._ill_validations = frozenset[SessionId]()
        """Trial runs that could not be handled in the last pass."""

    async def one_pass(self) -> None:
        """Reconcile changed services: decide per service, act with compare-and-set.

        A lost race is decided again by the next pass.
        """
        now = self._clock()
        ticked = self._ticked is None or now - self._ticked >= self._every or now < self._ticked
        await self._observe(ticked=ticked)
        if ticked:
            self._ticked = now
        acted = 0
        for _ in range(CHUNKS):
            some = self._queue.take(CHUNK)
            if not some:
                break
            try:
                acted += await self._look_at(some, now)
            except BaseException:
                self._queue.add(some)  # their changes are not news to the next pass
                raise
        acted += await self._validations(now)
        async with transaction(self._pool) as con:
            settled = await sessions.settle(con, look_at_all=ticked)
        if acted or settled:  # "services" too: the next step may be due already
            self._poke("placement", "plans", "routes", "rules", "services", "receipts", "drains")
        elif self._queue.waiting or not self._saw_all:
            self._poke("services")

    async def _observe(self, *, ticked: bool) -> None:
        """Fill the work queue."""
        async with transaction(self._pool, isolation="repeatable_read") as con:
            lowest = await sessions.lowest_unseen(con)
            marks = await sessions.changed(con, self._since) if self._since is not None else {}
            page: list[ServiceId] | None = None
            if ticked or not self._saw_all:
                page = await sessions.next_ids(con, self._turn, TURN)
            statuses = await sessions.count_by_status(con) if ticked else None
        self._since = lowest
        if statuses is not None:
            for status in states.STATES:
                SESSIONS.labels(status).set(statuses.get(status, 0))
        self._queue.add_changed(marks)
        self._queue.add_draining()
        if ticked:
            self._queue.add_in_transition()
        if page is not None:
            self._queue.add(page)
            self._saw_all = self._saw_all or len(page) < TURN
            self._turn = page[-1] if len(page) == TURN else _FIRST

    async def _look_at(self, some: list[ServiceId], now: datetime) -> int:
        async with transaction(self._pool, isolation="repeatable_read") as con:
            wanted = await sessions.services(con, some)
            live = await sessions.live(con, some)
        by_service: dict[ServiceId, list[LiveSession]] = defaultdict(list)
        for row in live:
            if row.service_id is not None:
                by_service[row.service_id].append(row)
        self._queue.drop(set(some) - {service.id for service in wanted})
        for service in wanted:
            rows = by_service[service.id]
            draining = any(row.status == "draining" for row in rows)
            self._queue.reconciled(service.id, settled=settled(service, rows), draining=draining)
        handled = await self._create_first([service for service in wanted if not by_service[service.id]], now)
        acted = 0
        waiting = iter([service for service in wanted if service.id not in handled])

        async def work() -> None:
            nonlocal acted
            for service in waiting:  # shared by all that work
                actions = await self._attempt(service, by_service[service.id], now)
                acted += actions

        done = await asyncio.gather(*(work() for _ in range(AT_ONCE)), return_exceptions=True)
        failures = [failure for failure in done if failure is not None]
        if failures:
            raise failures[0]
        return acted

    async def _create_first(self, services: Sequence[ReconciledService], now: datetime) -> set[ServiceId]:
        """Create the replicas of services that have none, all at once. Return the services that are done with it."""
        try:
            starts = {service.id: start for service in services if (start := _first(service, now)) is not None}
            changed = await create_first(self._pool, starts)
        except DATABASE_ERRORS:
            raise
        except Exception:  # of one of them: each is handled alone then, and says what is wrong with it
            log.warning("replica_batch_not_created", services=len(services), exc_info=True)
            return set()
        for service_id in changed:
            self._queue.requeue(service_id)
        if changed:
            self._poke("services")
        if len(starts) > len(changed):
            self._poke("placement")
        return set(starts)

    async def _attempt(self, service: ReconciledService, rows: list[LiveSession], now: datetime) -> int:
        """Reconcile one service. One that cannot be handled fails alone, records its error, and is tried again."""
        acted, problem = 0, None
        try:
            acted = await self._one_service(service, rows, now)
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            problem = error_text(error)[:MAX_TEXT_OF_ONE]
            skip_row("services", error, known=problem == service.problem, service_id=str(service.id))
        if problem != service.problem:
            async with transaction(self._pool) as con:
                await sessions.set_problem(con, service.id, problem)
        return acted

    async def _validations(self, now: datetime) -> int:
        async with self._pool.acquire(timeout=15) as con:
            rows = await sessions.live_without_service(con, MAX_VALIDATIONS)
        acted, ill = 0, set[SessionId]()
        for row in rows:
            try:
                acted += await self._one_validation(row, now)
            except DATABASE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 - it costs itself
                skip_row("services", error, known=row.id in self._ill_validations, session_id=str(row.id))
                ill.add(row.id)
        self._ill_validations = frozenset(ill)
        return acted

    async def _one_service(self, service: ReconciledService, rows: list[LiveSession], now: datetime) -> int:
        want = desired_replicas(service)
        have = await self._with_room(want, [self._seen(service.id, row) for row in rows], now)
        actions = decide(want, have, now)
        if not actions:
            return 0
        revs = {row.id: row.rev for row in rows}
        async with transaction(self._pool) as con:
            if not await sessions.unchanged(con, {service.id: ObservedRevs(service.rev, revs)}):
                self._queue.requeue(service.id)
                self._poke("services")
                return 0
            starts = [(service, action) for action in actions if isinstance(action, Create)]
            await sessions.create_many(con, starts)
            done = [action for action in actions if await self._act(con, service, action, revs)]
        _count(done)
        log.info("service_reconciled", service_id=str(service.id), actions=[_short(action) for action in actions])
        return len(actions)

    async def _act(
        self, con: Connection, service: ReconciledService, action: Action, revs: dict[SessionId, int]
    ) -> bool:
        """Write one action. Return False for the end of a replica that is recorded already, as when one drains that failed."""
        match action:
            case Create():
                pass  # all of them at once, before the others
            case Retire():
                if await sessions.leave(con, action, revs[action.id]):
                    await receipts.left(con, action)
            case Failed():
                await failed_starts.keep(con, service.id, service.project_id, action)
            case Ended():
                return await ends.keep(con, service.id, service.project_id, action)
            case Recovered():
                await failed_starts.clear(con, service.id)
                await rollouts.recover(con, service.revision_id)
            case Served(revision_id):
                await sessions.mark_served(con, service.id, revision_id)
            case _:
                await write_rollout(con, service, action)
        return True

    async def _with_room(
        self, want: DesiredReplicas, have: list[ObservedReplica], now: datetime
    ) -> list[ObservedReplica]:
        """Return `have`; where replacements find no machine, with the replicas marked whose machine they could use."""
        waiting = stuck(want, have, now)
        if not waiting:
            return have
        old = [r.id for r in have if r.status == "running" and replaceable(want, r) and not r.lost]
        async with self._pool.acquire() as con:
            request, without = await sessions.machines_without(con, waiting[0].id, old)
        if request is None:
            return have
        # In a thread: a service may have thousands of replicas.
        room = await asyncio.to_thread(preemption_candidates, request, without, now)
        return [replace(r, makes_room=r.id in room) for r in have]

    async def _one_validation(self, row: LiveSession, now: datetime) -> int:
        action = trial.decide(self._seen(None, row), row.resolved or {}, now)
        if action is None:
            return 0
        async with transaction(self._pool) as con:
            await sessions.leave(con, action, row.rev)
        return 1

    def _seen(self, service_id: ServiceId | None, row: LiveSession) -> ObservedReplica:
        knows_kernel = row.kernel_state is not None
        reason = (row.kernel_code, row.kernel_text) if knows_kernel else (row.reason_code, row.reason_text)
        return ObservedReplica(
            id=row.id,
            revision_id=row.revision_id,
            status=row.status,
            health=row.health,
            was_healthy=row.was_healthy,
            kernel_state=row.kernel_state,
            reason=Reason.read(reason[0] or SessionReason.UNKNOWN, reason[1] or ""),
            created_at=row.created_at,
            placed_at=row.placed_at,
            drain_deadline=row.drain_deadline,
            lost=row.lost,
            failures=row.failures,
            moving=row.moving or row.replace_asked_at is not None,
            asked=row.replace_asked_at is not None,
            idle=row.idle,
            healthy_at=row.healthy_at,
            released=row.status == "draining"
            and service_id is not None
            and self._proxies.released(service_id, row.id, row.drain_generation),
        )


def _first(service: ReconciledService, now: datetime) -> Start | None:
    """Return what to create of a service without a live session; None where it needs something else, or cannot be read."""
    if service.problem is not None:
        return None
    try:
        actions = decide(desired_replicas(service), (), now)
    except ValueError:
        return None
    creates = tuple(action for action in actions if isinstance(action, Create))
    return Start(service, creates) if creates and len(creates) == len(actions) else None


def _count(done: Sequence[Action]) -> None:
    """Count failed starts and ends, once they are committed."""
    for action in done:
        match action:
            case Failed():
                STARTS_FAILED.inc()
            case Ended():
                ENDED.labels(action.cause).inc()
            case _:
                pass


def _short(action: Action) -> str:
    match action:
        case Retire(id, status, reason):
            return f"{status} {id} ({reason.code})"
        case Failed(id, reason, failures):
            return f"failed {id} ({reason.code}, {failures} in a row)"
        case Ended(id, reason, in_a_row):
            return f"ended {id} ({reason.code}, {in_a_row} in a row)"
        case _:
            return type(action).__name__.lower()
