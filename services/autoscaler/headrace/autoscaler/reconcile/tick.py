"""The tick: leases, windows, decisions, requests, reports; each pass looks at everything anew.

Reads: rule tables (memory, from the bus), leases, windows and records (Redis).
May change: leases and records in Redis; the wanted replicas, by asking the manager.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from redis.exceptions import RedisError

from headrace.autoscaler.domain.firing import Settled, settle, waiting
from headrace.autoscaler.domain.observation import Horizon
from headrace.autoscaler.domain.policy import RuleEvaluation, ScalingInput, Verdict, decide
from headrace.autoscaler.leases import Leases
from headrace.autoscaler.metrics import DECISIONS, LEASED, LOOKS, PAUSED
from headrace.autoscaler.reconcile.report import Reporter
from headrace.autoscaler.reconcile.scale_requester import ScaleRequester
from headrace.autoscaler.records import Records
from headrace.autoscaler.rule_tables import RuleTables, WatchedService
from headrace.autoscaler.windows import Windows
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason
from headrace.common.runtime.clock import Clock

log = structlog.get_logger()
_ASKED_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class TickContext:
    """Dependencies of a tick."""

    tables: RuleTables
    windows: Windows
    leases: Leases
    records: Records
    trigger: ScaleRequester
    reporter: Reporter
    clock: Clock


class Tick:
    """Evaluates the rules of the services whose lease this process has. While Redis is away it pauses and says so."""

    def __init__(self, parts: TickContext, *, horizon: Horizon, patience: timedelta) -> None:
        self._parts = parts
        self._horizon = horizon
        self._patience = patience
        self._recorded: set[ServiceId] = set()
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self.paused: str | None = "no tick yet"
        """Why nothing is evaluated now; None when all is well."""

    async def one_pass(self) -> None:
        """Look at everything once."""
        services = self._parts.tables.all()
        try:
            held, now = await self._prepare(services)
        except RedisError as error:
            await self._pause(services, error)
            return
        self._resume()
        codes: Counter[str] = Counter()
        async with asyncio.TaskGroup() as group:
            for number, service in enumerate(held):
                known = services[service]
                verdict = await self._decide(known, now)
                codes.update(look.reason.code for look in verdict.looks)
                if verdict.fire is None:
                    await self._parts.reporter.report(known.table, verdict.looks, now)
                else:
                    group.create_task(self._fire(known, verdict, verdict.fire, now))
                if number % 100 == 99:
                    await asyncio.sleep(0)  # lets samples in
        LOOKS.clear()
        for code, count in codes.items():
            LOOKS.labels(code).set(count)

    async def _prepare(self, services: Mapping[ServiceId, WatchedService]) -> tuple[list[ServiceId], datetime]:
        """Bring leases, records and windows up to date; return the services to look at and Redis' time."""
        parts = self._parts
        gone = set(parts.tables.removed)
        await parts.records.forget(gone)
        parts.tables.removed -= gone
        now, held = await parts.leases.claim(list(services))
        fresh = [service for service, new in held.items() if new or service not in self._recorded]
        await parts.records.load(fresh)
        self._recorded = set(held)
        await parts.windows.read(held, now)
        parts.reporter.retain(held)
        LEASED.set(len(held))
        return list(held), now

    async def _decide(self, known: WatchedService, now: datetime) -> Verdict:
        service = known.table.service_id
        blocked = await self._settle(known, now)
        subject = ScalingInput(
            table=known.table,
            live=known.live,
            wanted=known.wanted,
            window=self._parts.windows.of(service),
            fired=self._parts.records.of(service).fired,
            blocked=blocked,
        )
        return decide(subject, self._horizon, now)

    async def _settle(self, known: WatchedService, now: datetime) -> Reason | None:
        """Clear up a request whose answer was lost; return why nothing may fire while that cannot be done."""
        service = known.table.service_id
        pending = self._parts.records.of(service).pending
        if pending is None:
            return None
        settled = settle(pending, known.wanted, now, patience=self._patience)
        try:
            if settled is Settled.DONE:
                await self._parts.records.done(service, pending)
                log.info("scale_settled", service_id=str(service), rule_id=str(pending.rule_id), wanted=pending.wanted)
            elif settled is Settled.NOT_DONE:
                await self._parts.records.dropped(service)
        except RedisError:
            self._recorded.discard(service)  # read again what is there
            return waiting(pending, now)
        return waiting(pending, now) if settled is Settled.OPEN else None

    async def _fire(self, known: WatchedService, verdict: Verdict, look: RuleEvaluation, now: datetime) -> None:
        async with self._asking:
            after, fired = await self._ask(known, look, now)
        looks = tuple(after if one is look else one for one in verdict.looks)
        await self._parts.reporter.report(known.table, looks, now, fired=after if fired else None)

    async def _ask(self, known: WatchedService, look: RuleEvaluation, now: datetime) -> tuple[RuleEvaluation, bool]:
        service = known.table.service_id
        if not self._parts.leases.holds(service):
            return _held_back(look, ScalingReason.LEASE_LOST, "the pass took too long; the next one looks again"), False
        try:
            return await self._parts.trigger.fire(known, look, now)
        except RedisError as error:
            self._recorded.discard(service)
            DECISIONS.labels("unrecorded").inc()
            log.warning("firing_unrecorded", service_id=str(service), why=_words(error))
            return _held_back(look, ScalingReason.REDIS_AWAY, f"Redis does not answer: {_words(error)}"), False

    async def _pause(self, services: Mapping[ServiceId, WatchedService], error: RedisError) -> None:
        if self.paused != _words(error):
            log.warning("ticks_paused", why=_words(error))
        self.paused = _words(error)
        self._recorded.clear()
        PAUSED.set(1)
        reason = Reason.of(
            ScalingReason.REDIS_AWAY, f"rules are not evaluated while Redis does not answer: {_words(error)}"
        )
        for service in self._parts.leases.had():  # not those that another autoscaler may still evaluate
            if service in services:
                await self._parts.reporter.paused(services[service].table, reason, self._parts.clock())

    def _resume(self) -> None:
        if self.paused is not None:
            log.info("ticks_running")
        self.paused = None
        PAUSED.set(0)


def _held_back(look: RuleEvaluation, code: ScalingReason, text: str) -> RuleEvaluation:
    return RuleEvaluation(
        rule=look.rule,
        observed=look.observed,
        would_fire=False,
        wanted=look.wanted,
        reason=Reason.of(code, f"{look.reason.text}; {text}"),
        cooldown_until=look.cooldown_until,
    )


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
