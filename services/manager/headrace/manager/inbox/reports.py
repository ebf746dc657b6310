"""What agents, app-proxies and the autoscaler say, as it arrives."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from headrace.common.contracts.ids import AgentId, ProxyId, RuleId, ServiceId, SessionId
from headrace.common.contracts.messages.reports import NodeReport, ProxyReport
from headrace.common.contracts.messages.rulestates import RuleOutcome, RuleReport
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.addresses import Places, Said, claims, problem
from headrace.manager.domain.lifecycle.receipts import Heard
from headrace.manager.domain.lifecycle.status import Presence
from headrace.manager.store import addresses, events, reports

log = structlog.get_logger()


REPEAT_AFTER_S = 30.0
"""What did not change is written again after this: figures that change all the time are left out of the comparison."""
_FIGURES = {
    "sequence": True,
    "sent_at": True,
    "machine": {"gpus": {"__all__": {"memory_used_bytes", "utilization_percent"}}},
}


class NodeReports:
    """Writes machines and kernels as they are reported; any manager of the queue group handles each report.

    Changes: agents, kernels' state, the status of their sessions. Several machines go into one transaction, and a report that
    says what is written already only renews when the machine was heard. What is lost on the way comes with the next report.
    """

    def __init__(
        self,
        pool: Pool,
        poke: Callable[..., None],
        *,
        lost_after: timedelta = timedelta(seconds=8),
        places: Places = Places(),  # noqa: B008 - frozen
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._poke = poke
        self._places = places
        self._lost_after = lost_after
        self._monotonic = monotonic
        self._written: dict[AgentId, _Written] = {}

    async def heard(self, some: Sequence[NodeReport]) -> None:
        """Write reports of different machines and poke the loops that what changed concerns. One that cannot be written costs itself."""
        try:
            await self._write(some)
        except Exception as error:  # the next reports repeat the whole state
            if len(some) == 1:
                log.exception("report_not_written", agent=some[0].agent_id)
                return
            log.warning("reports_not_written_together", machines=len(some), why=str(error) or type(error).__name__)
            for report in some:
                await self.heard([report])

    async def _write(self, some: Sequence[NodeReport]) -> None:
        now = self._monotonic()
        digests = {report.agent_id: _digest(report) for report in some}
        repeated = [report for report in some if self._is_written(report, digests[report.agent_id], now)]
        same: set[AgentId] = set()
        if repeated:  # on its own: rows locked in two orders could make managers wait for each other
            async with self._pool.acquire(timeout=15) as con:
                same = await reports.same(con, repeated, digests, self._lost_after)
        fresh = [report for report in some if report.agent_id not in same]
        if not fresh:
            return
        async with transaction(self._pool) as con:
            kept = await reports.keep(con, fresh, digests, self._lost_after)
            counting = [report for report in fresh if report.agent_id in kept]
            problems, news = await self._addresses(con, [one.said for one in kept.values()])
            changed = await reports.apply_kernels(con, counting, self._places, problems) if counting else 0
        applied = False
        for report in counting:
            before = self._written.get(report.agent_id)
            applied = applied or before is None or before.generation != report.applied_generation
            self._written[report.agent_id] = _Written(digests[report.agent_id], report.applied_generation, now)
        if changed:
            self._poke("routes", "services", "rules")
        elif applied:
            self._poke("services")
        if news or any(one.changed_capacity for one in kept.values()):
            self._poke("plans", "placement")

    async def _addresses(self, con: Connection, said: Sequence[Said]) -> tuple[dict[str, str | None], bool]:
        """Return why machines' addresses do not count, and whether that is another reason than before. A machine's first address
        is kept as the one that is allowed, and what is refused is told."""
        first = claims(said, self._places)
        taken = await addresses.claim(con, first) if first else {}
        problems = {one.machine: problem(one, self._places, taken) for one in said}
        news = {one.machine: problems[one.machine] for one in said if problems[one.machine] != one.problem}
        due = await addresses.note(con, news) if news else []
        for machine in due:
            message = news[machine] or ""
            log.warning("address_not_allowed", agent=machine, why=message)
            await events.note(con, "agent.address-refused", message=message, details={"agent": machine})
        return problems, bool(news)

    def _is_written(self, report: NodeReport, digest: str, now: float) -> bool:
        before = self._written.get(report.agent_id)
        return before is not None and before.digest == digest and now - before.at < REPEAT_AFTER_S


@dataclass(frozen=True)
class _Written:
    """What this manager wrote of a machine last, and when."""

    digest: str
    generation: int
    at: float


def _digest(report: NodeReport) -> str:
    complete = report.sequence >= reports.FIRST_REPORTS
    return hashlib.sha256(f"{complete}{report.model_dump_json(exclude=_FIGURES)}".encode()).hexdigest()  # type: ignore[arg-type]


REMEMBERED_FOR = timedelta(minutes=10)
MOST_AWAY = 32


class Proxies:
    """The app-proxies that are heard of, in memory: each manager hears all.

    Those that went are remembered for REMEMBERED_FOR, for who asks what they have not heard of; they may still serve.
    """

    def __init__(
        self,
        clock: Clock,
        poke: Callable[..., None],
        *,
        forget_after: timedelta = timedelta(seconds=10),
        gather_for: timedelta = timedelta(seconds=3),
        connected: Callable[[], bool] = lambda: True,
    ) -> None:
        self._connected = connected
        self._listening_since: datetime | None = None
        self._made_at = clock()
        self._clock = clock
        self._poke = poke
        self._forget_after = forget_after
        self.gather_for = gather_for
        """By then all app-proxies have been heard of."""
        self._since: datetime | None = None
        self._reports: dict[ProxyId, Heard] = {}

    async def heard(self, report: ProxyReport) -> None:
        """Keep the newest report of this app-proxy."""
        before = self.lately().get(report.proxy_id)
        if before is not None and before.report.sent_at > report.sent_at:
            return
        now = self._clock()
        if not self.lately():
            self._since = now  # the others, if there are any, report within a second
        self._reports = {**self.remembered(), report.proxy_id: Heard(now, report)}
        if _tells_of_drains(before.report if before is not None else None, report):
            self._poke("services", "receipts")

    def released(self, service_id: ServiceId, session_id: SessionId, generation: int | None) -> bool:
        """Whether every app-proxy heard of lately knows that the session drains (by table `generation`) and has no request open on it.

        False while no app-proxy is heard of: then the grace decides. False also until all had time to be heard of (`gather_for`)
        after this manager started or got the bus back.
        """
        if generation is None or not self.gathered():
            return False
        return all(_has_released(one.report, service_id, session_id, generation) for one in self.lately().values())

    def claimed(self) -> dict[ServiceId, int]:
        """Return every service that an app-proxy heard of lately routes, and the highest generation in which one has it."""
        highest: dict[ServiceId, int] = {}
        for one in self.lately().values():
            for service_id, generation in one.report.generations.items():
                highest[service_id] = max(generation, highest.get(service_id, 0))
        return highest

    def listening(self) -> None:
        """Note that from now on reports arrive: at the start, and when the bus is back. What comes is waited for before it is missed."""
        self._listening_since = self._clock()

    def presence(self) -> Presence:
        """Return whether app-proxies are heard of; `unknown` for `gather_for` after the start and after the bus came back."""
        if self.lately():
            return "heard"
        since = self._listening_since if self._connected() else None
        if self._clock() - (since or self._made_at) < self.gather_for:
            return "unknown"
        return "away" if since is not None else "bus-away"

    def generations(self, service_id: ServiceId) -> dict[ProxyId, int]:
        """Return which generation of the service's table each app-proxy heard of lately has; 0: none."""
        return {proxy_id: one.report.generations.get(service_id, 0) for proxy_id, one in self.lately().items()}

    def unopened(self, port: int) -> dict[ProxyId, str]:
        """Return which app-proxies heard of lately could not open this port of a service, and why."""
        lately = self.lately().items()
        return {proxy_id: why for proxy_id, one in lately if (why := one.report.ports_failed.get(port)) is not None}

    def gathered(self) -> bool:
        """Whether there are app-proxies, and all had time to be heard of."""
        return bool(self.lately()) and self._since is not None and self._clock() - self._since >= self.gather_for

    def remembered(self) -> dict[ProxyId, Heard]:
        """Return the newest report of each app-proxy, also of those that have been away for minutes; of these at most MOST_AWAY."""
        now = self._clock()
        known = {proxy_id: one for proxy_id, one in self._reports.items() if now - one.at <= REMEMBERED_FOR}
        away = sorted((one.at, proxy_id) for proxy_id, one in known.items() if now - one.at > self._forget_after)
        for _, proxy_id in away[:-MOST_AWAY]:
            del known[proxy_id]
        return known

    def lately(self) -> dict[ProxyId, Heard]:
        """Return the newest report of each app-proxy that is heard of."""
        now = self._clock()
        return {proxy_id: one for proxy_id, one in self._reports.items() if now - one.at <= self._forget_after}


def _tells_of_drains(before: ProxyReport | None, report: ProxyReport) -> bool:
    """Whether there is something new about them. A drain is named for minutes after its end."""
    if before is None:
        return bool(report.draining)
    return report.draining != before.draining or (bool(report.draining) and report.generations != before.generations)


def _has_released(report: ProxyReport, service_id: ServiceId, session_id: SessionId, generation: int) -> bool:
    return report.generations.get(service_id, 0) >= generation and not any(
        route.session_id == session_id and route.in_flight for route in report.draining
    )


OUTCOMES_KEPT_S = 600.0
"""An autoscaler repeats them every 10 s."""


class Outcomes:
    """What the autoscaler made of each rule last, in memory; forgotten when it was not said again for `OUTCOMES_KEPT_S`."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._outcomes: dict[ServiceId, dict[RuleId, RuleOutcome]] = {}
        self._heard: OrderedDict[ServiceId, float] = OrderedDict()
        """When each service's were heard last, the longest ago first."""

    async def heard(self, report: RuleReport) -> None:
        """Keep the outcomes of one service."""
        now = self._monotonic()
        self._outcomes[report.service_id] = {outcome.rule_id: outcome for outcome in report.outcomes}
        self._heard[report.service_id] = now
        self._heard.move_to_end(report.service_id)
        # services that are gone, or have no rules any more
        while now - next(iter(self._heard.values())) > OUTCOMES_KEPT_S:
            self._outcomes.pop(self._heard.popitem(last=False)[0], None)

    def of(self, service_id: ServiceId, rule_id: RuleId) -> RuleOutcome | None:
        """Return the last outcome that was heard of, None before the first."""
        return self._outcomes.get(service_id, {}).get(rule_id)
