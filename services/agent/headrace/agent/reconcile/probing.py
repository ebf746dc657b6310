"""Health checks of the main kernels, beside them on the machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from headrace.agent.checks import Answer, Checker
from headrace.agent.domain.health import (
    Check,
    Health,
    Policy,
    begin,
    due_at,
    finish_check,
    not_its_own,
    resume,
    start_check,
    too_late,
)
from headrace.agent.metrics import HEALTH_CHECKS
from headrace.agent.runtime.interface import Runtime, RuntimeUnavailable
from headrace.agent.table import KernelTable
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.runtime.clock import Clock

log = structlog.get_logger()
_FRESH_EVERY = 6
"""Of so many checks of a healthy kernel one makes a connection of its own: whether it still accepts them must be seen too."""
_LISTENS_EVERY_S = 10.0
"""Between looks at where a program listens that does not answer: one reads what /proc says of every process."""
_MOST_AT_ONCE = 8
"""Checks of one kernel under way, when its answers take longer than its interval."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a program listens that does not answer on its port, in words, and when to look again by the loop's clock."""

    words: str | None
    until_s: float


class Prober:
    """Drives one health machine per running main kernel. `sync()` after each pass says which those are."""

    name = "health"

    def __init__(
        self, table: KernelTable, checker: Checker, runtime: Runtime, now: Clock, *, port_open_timeout: timedelta
    ) -> None:
        """`port_open_timeout`: for programs without a health check, from their start until their port opens."""
        self._table = table
        self._open_within_s = port_open_timeout.total_seconds()
        self._places: dict[KernelId, _Place] = {}
        self._checker = checker
        self._runtime = runtime
        self._now = now
        self._healths: dict[KernelId, Health] = {}
        self._kept_checks: dict[KernelId, int] = {}
        self._watchers: dict[KernelId, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End run()."""
        self._stop.set()

    async def run(self) -> None:
        """Check until stop()."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.sync()
            await self._stop.wait()
            self._group = None
            for watcher in self._watchers.values():
                watcher.cancel()

    def sync(self) -> None:
        """Begin with kernels that run now, and leave those that do not any more."""
        if self._group is None:
            return
        running = self._running()
        for kernel_id in self._watchers.keys() - running.keys():
            self._watchers.pop(kernel_id).cancel()
            self._kept_checks.pop(kernel_id, None)
            self._places.pop(kernel_id, None)
            self._healths.pop(kernel_id, None)
        for kernel_id, (spec, port) in running.items():
            if kernel_id not in self._watchers:
                self._watchers[kernel_id] = self._group.create_task(self._watch(spec, port), name=f"health-{kernel_id}")

    def _running(self) -> dict[KernelId, tuple[KernelSpec, int]]:
        return {
            kernel_id: (record.spec, seen.port)
            for kernel_id, seen in self._table.seen.items()
            if seen.phase == "running"
            and seen.port is not None
            and (record := self._table.records.get(kernel_id)) is not None
            and record.started_at is not None
            and record.ending is None
            and record.spec.role == "main"
        }

    async def _watch(self, spec: KernelSpec, port: int) -> None:
        try:
            await self._check_on(spec, port)
        except (
            Exception
        ):  # the watcher's boundary: one kernel must not take the agent down; the next sync() begins anew
            log.exception("health_watch_broke", kernel_id=str(spec.kernel_id))
            self._watchers.pop(spec.kernel_id, None)
            self._healths.pop(spec.kernel_id, None)

    async def _check_on(self, spec: KernelSpec, port: int) -> None:
        kernel_id, policy = spec.kernel_id, Policy.of(spec.health_check, open_within_s=self._open_within_s)
        record = self._table.records.get(kernel_id)
        if record is None:  # removed before this task began
            return
        now = self._now()
        health = resume(record.health, now) if record.health else begin(policy, record.started_at or now)
        self._take(kernel_id, health)
        under_way: set[asyncio.Task[None]] = set()
        look: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while (waiting := self._healths.get(kernel_id)) is not None:
                wait_s = (due_at(waiting) - self._now()).total_seconds()
                # The clock may have been set back since then: no wait is longer than what the definition says.
                await asyncio.sleep(min(max(0.0, wait_s), max(policy.interval_s, policy.initial_delay_s)))
                health, check = start_check(policy, self._healths.get(kernel_id, waiting), self._now())
                self._healths[kernel_id] = health
                if check.extra:
                    if (
                        look is None or look.done()
                    ):  # one at a time: a program that hangs is not asked ten times a second
                        look = group.create_task(self._check(spec, policy, check, port))
                elif len(under_way) < _MOST_AT_ONCE:
                    task = group.create_task(self._check(spec, policy, check, port))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)

    def _may_keep(self, kernel_id: KernelId) -> bool:
        """Return whether a kept connection will do: the kernel is well, and it is not the turn of a fresh one."""
        health = self._healths.get(kernel_id)
        if health is None or health.status != "healthy" or health.failures:
            self._kept_checks.pop(kernel_id, None)
            return False
        self._kept_checks[kernel_id] = count = self._kept_checks.get(kernel_id, 0) + 1
        return count % _FRESH_EVERY != 0

    async def _check(self, spec: KernelSpec, policy: Policy, check: Check, port: int) -> None:
        answer = await self._checker.ask(spec.health_check, port, kept=self._may_keep(spec.kernel_id))
        # After the answer: who took the port before it was asked for, or as it was, is seen.
        problem = await self._runtime.port_problem(spec.kernel_id, port) if answer.passed else None
        if problem is not None:
            answer = Answer(passed=False, detail=problem.words, reached=True)
        HEALTH_CHECKS.labels("passed" if answer.passed else "failed").inc()
        detail = answer.detail if answer.passed else await self._seen(spec, answer, port)
        before, record = self._healths.get(spec.kernel_id), self._table.records.get(spec.kernel_id)
        if before is None or record is None:  # it stopped running meanwhile
            return
        if problem is not None and problem.foreign:
            after = not_its_own(before, check, problem.words)
        else:
            after = finish_check(policy, before, check, passed=answer.passed, detail=detail)
            after = too_late(policy, after, check, record.started_at or check.started_at)
        if after.status != before.status:
            log.info(
                "kernel_health_changed", kernel_id=str(spec.kernel_id), name=spec.name, health=after.status,
                reason=after.reason.code,
            )  # fmt: skip
        self._take(spec.kernel_id, after)

    async def _seen(self, spec: KernelSpec, answer: Answer, port: int) -> str:
        """Return what a failed check saw; of a program that was not reached yet also where it listens instead."""
        health = self._healths.get(spec.kernel_id)
        if answer.reached or health is None or health.was_healthy:
            return answer.detail
        now = asyncio.get_running_loop().time()
        place = self._places.get(spec.kernel_id)
        if place is None or now >= place.until_s:
            # Before it is asked: of the checks under way only one looks.
            self._places[spec.kernel_id] = _Place(place.words if place else None, now + _LISTENS_EVERY_S)
            place = _Place(await self._listens(spec, port), now + _LISTENS_EVERY_S)
            self._places[spec.kernel_id] = place
        return f"{answer.detail}; {place.words}" if place.words else answer.detail

    async def _listens(self, spec: KernelSpec, port: int) -> str | None:
        try:
            return await self._runtime.listens(spec, port)
        except RuntimeUnavailable:
            return None

    def _take(self, kernel_id: KernelId, health: Health) -> None:
        """Keep `health`; on disk and in the report only when it says something new."""
        self._healths[kernel_id] = health
        record = self._table.records.get(kernel_id)
        if record is not None and (record.health is None or _told(record.health) != _told(health)):
            self._table.change(kernel_id, health=health)


def _told(health: Health) -> tuple[object, ...]:
    return health.status, health.failures, health.was_healthy, health.reason
