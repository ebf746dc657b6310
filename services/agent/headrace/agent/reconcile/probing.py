"""Health check loop: probes the running main kernels from the same machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from headrace.agent.checks import CheckResult, HealthChecker
from headrace.agent.domain.health import (
    Check,
    Health,
    Policy,
    begin,
    due_at,
    finish_check,
    foreign_answer,
    port_timed_out,
    resume,
    start_check,
)
from headrace.agent.domain.kernels import KernelRecord
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.metrics import HEALTH_CHECKS
from headrace.agent.runtime.interface import Runtime, RuntimeUnavailable
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.runtime.clock import Clock, Monotonic

log = structlog.get_logger()
_FRESH_EVERY = 6
"""One of so many checks of a healthy kernel opens a new connection, to verify that the program still accepts them."""
_LISTENS_EVERY_S = 10.0
"""Time between scans for where a program listens that does not answer: each reads /proc of every process."""


@dataclass(slots=True)
class _Watched:
    """A main kernel under health checks."""

    spec: KernelSpec
    port: int
    health: Health
    task: asyncio.Task[None] | None = None
    kept_checks: int = 0
    """Consecutive checks that might reuse an idle connection."""
    listens: str | None = None
    """Addresses on which its program listens, as text, when it does not answer on its port."""
    listens_until_s: float = 0.0
    """Time at which that is looked up again, by the event loop's clock."""


class Prober:
    """Runs one health state machine per running main kernel. `sync()` after each pass sets which kernels those are."""

    name = "health"

    def __init__(
        self,
        table: KernelRegistry,
        checker: HealthChecker,
        runtime: Runtime,
        now: Clock,
        monotonic: Monotonic,
        *,
        port_open_timeout: timedelta,
    ) -> None:
        """Make a prober.

        `port_open_timeout`: for programs without a health check, from their start until their port must be open.
        """
        self._table = table
        self._open_within_s = port_open_timeout.total_seconds()
        self._checker = checker
        self._runtime = runtime
        self._now = now
        self._monotonic = monotonic
        self._watched: dict[KernelId, _Watched] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Make run() return."""
        self._stop.set()

    async def run(self) -> None:
        """Probe until stop()."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.sync()
            await self._stop.wait()
            self._group = None
            for watched in self._watched.values():
                if watched.task is not None:
                    watched.task.cancel()

    def sync(self) -> None:
        """Start probing kernels that run now, and stop probing the others."""
        if self._group is None:
            return
        running = self._running()
        for kernel_id in self._watched.keys() - running.keys():
            gone = self._watched.pop(kernel_id)
            self._checker.forget(gone.port)
            if gone.task is not None:
                gone.task.cancel()
        for kernel_id, (record, port) in running.items():
            if kernel_id not in self._watched:
                watched = _Watched(record.spec, port, self._first(record))
                self._watched[kernel_id] = watched
                watched.task = self._group.create_task(self._watch(watched), name=f"health-{kernel_id}")
                self._take(watched, watched.health)

    def _first(self, record: KernelRecord) -> Health:
        now = self._now()
        if record.health is not None:
            return resume(record.health, now)
        return begin(self._policy(record.spec), record.started_at or now)

    def _policy(self, spec: KernelSpec) -> Policy:
        return Policy.of(spec.health_check, open_within_s=self._open_within_s)

    def _running(self) -> dict[KernelId, tuple[KernelRecord, int]]:
        return {
            kernel_id: (record, seen.port)
            for kernel_id, seen in self._table.seen.items()
            if seen.phase == "running"
            and seen.port is not None
            and (record := self._table.records.get(kernel_id)) is not None
            and record.started_at is not None
            and record.ending is None
            and record.spec.role == "main"
        }

    async def _watch(self, watched: _Watched) -> None:
        kernel_id = watched.spec.kernel_id
        try:
            await self._check_on(watched)
        except (
            Exception
        ):  # the watcher's boundary: one kernel must not take the agent down; the next sync() begins anew
            log.exception("health_check_failed", kernel_id=str(kernel_id))
            if self._watched.get(kernel_id) is watched:
                del self._watched[kernel_id]

    async def _check_on(self, watched: _Watched) -> None:
        policy = self._policy(watched.spec)
        under_way: set[asyncio.Task[None]] = set()
        look: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while True:
                wait_s = (due_at(watched.health) - self._now()).total_seconds()
                # The clock may have been set back since then: no wait is longer than what the definition says.
                await asyncio.sleep(min(max(0.0, wait_s), max(policy.interval_s, policy.initial_delay_s)))
                watched.health, check = start_check(policy, watched.health, self._now())
                if check.extra:
                    if look is None or look.done():  # a program that hangs is not asked ten times a second
                        look = group.create_task(self._check(watched, policy, check))
                elif len(under_way) < policy.most_at_once:
                    task = group.create_task(self._check(watched, policy, check))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)

    async def _check(self, watched: _Watched, policy: Policy, check: Check) -> None:
        spec, port = watched.spec, watched.port
        answer = await self._checker.ask(spec.health_check, port, kept=_may_keep(watched))
        # After the answer: who took the port before it was asked for, or as it was, is seen.
        problem = await self._runtime.port_problem(spec.kernel_id, port) if answer.passed else None
        if problem is not None:
            answer = CheckResult(passed=False, detail=problem.words, reached=True)
        HEALTH_CHECKS.labels("passed" if answer.passed else "failed").inc()
        detail = answer.detail if answer.passed else await self._seen(watched, answer)
        before, record = watched.health, self._table.records.get(spec.kernel_id)
        if record is None or self._watched.get(spec.kernel_id) is not watched:  # it stopped running meanwhile
            return
        if problem is not None and problem.foreign:
            after = foreign_answer(before, check, problem.words)
        else:
            after = finish_check(policy, before, check, passed=answer.passed, detail=detail)
            after = port_timed_out(policy, after, check, record.started_at or check.started_at)
        if after.status != before.status:
            log.info(
                "kernel_health_changed",
                kernel_id=str(spec.kernel_id),
                name=spec.name,
                health=after.status,
                reason=after.reason.code,
            )
        self._take(watched, after)

    async def _seen(self, watched: _Watched, answer: CheckResult) -> str:
        """Return what a failed check saw; for a program that did not answer yet also where it listens instead."""
        if answer.reached or watched.health.was_healthy:
            return answer.detail
        now_s = self._monotonic()
        if now_s >= watched.listens_until_s:
            watched.listens_until_s = now_s + _LISTENS_EVERY_S  # before it is asked: of the checks under way one looks
            watched.listens = await self._listens(watched.spec, watched.port)
        return f"{answer.detail}; {watched.listens}" if watched.listens else answer.detail

    async def _listens(self, spec: KernelSpec, port: int) -> str | None:
        try:
            return await self._runtime.listens(spec, port)
        except RuntimeUnavailable:
            return None

    def _take(self, watched: _Watched, health: Health) -> None:
        """Store `health`; on disk and in the report only when it changed."""
        watched.health = health
        record = self._table.records.get(watched.spec.kernel_id)
        if record is not None and (record.health is None or _reported(record.health) != _reported(health)):
            self._table.change(watched.spec.kernel_id, health=health)


def _may_keep(watched: _Watched) -> bool:
    """Return whether an idle connection may be reused: the kernel is healthy, and no fresh connection is due."""
    if watched.health.status != "healthy" or watched.health.failures:
        watched.kept_checks = 0
        return False
    watched.kept_checks += 1
    return watched.kept_checks % _FRESH_EVERY != 0


def _reported(health: Health) -> tuple[object, ...]:
    return health.status, health.failures, health.was_healthy, health.reason
