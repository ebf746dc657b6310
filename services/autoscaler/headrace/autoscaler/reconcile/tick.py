"""Evaluation loop: each tick renews leases, reads windows, evaluates all rules and sends scale requests.

Reads: rule tables (memory, from the bus), leases, windows and records (Redis). May change: leases and records in Redis;
the wanted replicas, by asking the manager.
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

from headrace.autoscaler.domain.firing import RequestOutcome, awaiting_answer, settle_request
from headrace.autoscaler.domain.observation import AveragingWindow
from headrace.autoscaler.domain.policy import RuleEvaluation, ScalingInput, Verdict, decide
from headrace.autoscaler.leases import Leases
from headrace.autoscaler.metrics import LEASED, PAUSED, RULES_BY_REASON, SCALE_REQUESTS
from headrace.autoscaler.reconcile.report import Reporter
from headrace.autoscaler.reconcile.scale_requester import ScaleRequester
from headrace.autoscaler.records import ScalingRecords
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
    records: ScalingRecords
    requester: ScaleRequester
    reporter: Reporter
    clock: Clock


class Tick:
    """Evaluates the rules of the services whose lease this process holds.

    While Redis does not answer it pauses and reports so.
    """

    def __init__(self, context: TickContext, *, averaging: AveragingWindow, patience: timedelta) -> None:
        self._context = context
        self._horizon = averaging
        self._patience = patience
        self._recorded: set[ServiceId] = set()
        self._asking = asyncio.Semaphore(_ASKED_AT_ONCE)
        self.last_at: datetime | None = None
        """When rules were evaluated last."""
        self.paused: str | None = "no tick yet"
        """Why nothing is evaluated now; None when all is well."""

    async def one_pass(self) -> None:
        """Evaluate all rules once."""
        services = self._context.tables.all()
        try:
            held, now = await self._prepare(services)
        except RedisError as error:
            await self._pause(services, error)
            return
        self._resume()
        codes: Counter[str] = Counter()
        async with asyncio.TaskGroup() as group:
            for number, service in enumerate(held):
                watched = services[service]
                verdict = await self._decide(watched, now)
                codes.update(evaluation.reason.code for evaluation in verdict.evaluations)
                if verdict.fire is None:
                    await self._context.reporter.report(watched.table, verdict.evaluations, now)
                else:
                    group.create_task(self._fire(watched, verdict, verdict.fire, now))
                if number % 100 == 99:
                    await asyncio.sleep(0)  # lets other tasks run: samples arrive
        self.last_at = now
        RULES_BY_REASON.clear()
        for code, count in codes.items():
            RULES_BY_REASON.labels(code).set(count)

    async def _prepare(self, services: Mapping[ServiceId, WatchedService]) -> tuple[list[ServiceId], datetime]:
        """Refresh leases, records and windows from Redis; return the services to evaluate and Redis' time."""
        context = self._context
        gone = set(context.tables.removed)
        await context.records.forget(gone)
        context.tables.removed -= gone
        now, held = await context.leases.claim(list(services))
        fresh = [service for service, new in held.items() if new or service not in self._recorded]
        await context.records.load(fresh)
        self._recorded = set(held)
        await context.windows.read(held, now)
        context.reporter.retain(held)
        LEASED.set(len(held))
        return list(held), now

    async def _decide(self, watched: WatchedService, now: datetime) -> Verdict:
        service = watched.table.service_id
        blocked = await self._settle(watched, now)
        subject = ScalingInput(
            table=watched.table,
            live=watched.live,
            wanted=watched.wanted,
            window=self._context.windows.of(service),
            fired=self._context.records.of(service).fired,
            blocked=blocked,
        )
        return decide(subject, self._horizon, now)

    async def _settle(self, watched: WatchedService, now: datetime) -> Reason | None:
        """Settle a request whose answer was lost; return the reason that blocks the service while the outcome is open."""
        service = watched.table.service_id
        pending = self._context.records.of(service).pending
        if pending is None:
            return None
        settled = settle_request(pending, watched.wanted, now, patience=self._patience)
        try:
            if settled is RequestOutcome.DONE:
                await self._context.records.done(service, pending)
                log.info("scale_settled", service_id=str(service), rule_id=str(pending.rule_id), wanted=pending.wanted)
            elif settled is RequestOutcome.NOT_DONE:
                await self._context.records.dropped(service)
        except RedisError:
            self._recorded.discard(service)  # its state is read again at the next tick
            return awaiting_answer(pending, now)
        return awaiting_answer(pending, now) if settled is RequestOutcome.OPEN else None

    async def _fire(self, watched: WatchedService, verdict: Verdict, evaluation: RuleEvaluation, now: datetime) -> None:
        async with self._asking:
            after, fired = await self._ask(watched, evaluation, now)
        evaluations = tuple(after if one is evaluation else one for one in verdict.evaluations)
        await self._context.reporter.report(watched.table, evaluations, now, fired=after if fired else None)

    async def _ask(
        self, watched: WatchedService, evaluation: RuleEvaluation, now: datetime
    ) -> tuple[RuleEvaluation, bool]:
        service = watched.table.service_id
        if not self._context.leases.holds(service):
            return _not_fired(
                evaluation, ScalingReason.LEASE_LOST, "the pass took too long; the next one evaluates again"
            ), False
        try:
            return await self._context.requester.fire(watched, evaluation, now)
        except RedisError as error:
            self._recorded.discard(service)
            SCALE_REQUESTS.labels("unrecorded").inc()
            log.warning("firing_not_recorded", service_id=str(service), why=_error_text(error))
            return _not_fired(
                evaluation, ScalingReason.REDIS_AWAY, f"Redis does not answer: {_error_text(error)}"
            ), False

    async def _pause(self, services: Mapping[ServiceId, WatchedService], error: RedisError) -> None:
        if self.paused != _error_text(error):
            log.warning("ticks_paused", why=_error_text(error))
        self.paused = _error_text(error)
        self._recorded.clear()
        PAUSED.set(1)
        reason = Reason.of(
            ScalingReason.REDIS_AWAY, f"rules are not evaluated while Redis does not answer: {_error_text(error)}"
        )
        for service in self._context.leases.last_claimed():  # not those that another autoscaler may still evaluate
            if service in services:
                await self._context.reporter.paused(services[service].table, reason, self._context.clock())

    def _resume(self) -> None:
        if self.paused is not None:
            log.info("ticks_resumed")
        self.paused = None
        PAUSED.set(0)


def _not_fired(evaluation: RuleEvaluation, code: ScalingReason, text: str) -> RuleEvaluation:
    return RuleEvaluation(
        rule=evaluation.rule,
        observed=evaluation.observed,
        would_fire=False,
        wanted=evaluation.wanted,
        reason=Reason.of(code, f"{evaluation.reason.text}; {text}"),
        cooldown_until=evaluation.cooldown_until,
    )


def _error_text(error: Exception) -> str:
    return str(error) or type(error).__name__
