"""Reports of agents: written to the database as they arrive."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import NodeReport
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.obs.metrics import BUS_REFUSED
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.addresses import AddressPolicy, ReportedAddress, claims, problem
from headrace.manager.store import addresses, events, reports

log = structlog.get_logger()


REPEAT_AFTER_S = 30.0
"""Interval at which an otherwise unchanged report is written: values that always change are left out of the comparison."""
_FIGURES = {
    "sequence": True,
    "sent_at": True,
    "machine": {"gpus": {"__all__": {"memory_used_bytes", "utilization_percent"}}},
}


class NodeReports:
    """Writer of agents' reports; any manager of the queue group handles each report.

    Writes: agents, kernels' state, the status of their sessions. Several machines go into one transaction, and an
    unchanged report only updates the time of the last one. A lost report is repaired by the next one.
    """

    def __init__(
        self,
        pool: Pool,
        poke: Callable[..., None],
        *,
        lost_after: timedelta = timedelta(seconds=8),
        places: AddressPolicy = AddressPolicy(),  # noqa: B008 - frozen
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._poke = poke
        self._places = places
        self._lost_after = lost_after
        self._monotonic = monotonic
        self._written: dict[AgentId, _Written] = {}

    async def heard(self, some: Sequence[NodeReport]) -> None:
        """Write reports of different machines, and poke the loops that depend on what changed.

        One that cannot be written fails alone.
        """
        try:
            await self._write(some)
        except Exception as error:  # the next reports repeat the whole state
            if len(some) == 1:
                log.exception("report_not_written", agent=some[0].agent_id)
                return
            log.warning("report_batch_not_written", machines=len(some), why=str(error) or type(error).__name__)
            for report in some:
                await self.heard([report])

    async def _write(self, some: Sequence[NodeReport]) -> None:
        now = self._monotonic()
        digests = {report.agent_id: _digest(report) for report in some}
        repeated = [report for report in some if self._is_written(report, digests[report.agent_id], now)]
        same: set[AgentId] = set()
        if repeated:  # on its own: rows locked in two orders could make managers wait for each other
            async with self._pool.acquire(timeout=15) as con:
                same = await reports.renew_unchanged(con, repeated, digests, self._lost_after)
        fresh = [report for report in some if report.agent_id not in same]
        if not fresh:
            return
        async with transaction(self._pool) as con:
            kept = await reports.store(con, fresh, digests, self._lost_after)
            unkept = [report for report in fresh if report.agent_id not in kept]
            removed = await reports.refused(con, unkept) if unkept else {}
            counting = [report for report in fresh if report.agent_id in kept]
            problems, news = await self._addresses(con, [one.said for one in kept.values()])
            changed = await reports.apply_kernels(con, counting, self._places, problems) if counting else 0
            foreign = await reports.foreign(con, counting)
        for machine, why in removed.items():
            BUS_REFUSED.labels(NodeReport.__name__, "removed").inc()
            log.warning("report_refused", agent=machine, why=f"{why}; to let it report: headrace agent admit {machine}")
        for machine, kernels in foreign.items():
            BUS_REFUSED.labels(NodeReport.__name__, "foreign-kernel").inc(kernels)
            log.warning("foreign_kernels_reported", agent=machine, kernels=kernels)
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

    async def _addresses(self, con: Connection, said: Sequence[ReportedAddress]) -> tuple[dict[str, str | None], bool]:
        """Validate reported addresses; return the refused ones with the reason, and whether that differs from before.

        A machine's first address is stored as its allowed one; refusals are recorded.
        """
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
    """Last report that this manager wrote of a machine."""

    digest: str
    generation: int
    at: float


def _digest(report: NodeReport) -> str:
    complete = report.sequence >= reports.FIRST_REPORTS
    return hashlib.sha256(f"{complete}{report.model_dump_json(exclude=_FIGURES)}".encode()).hexdigest()  # type: ignore[arg-type]
