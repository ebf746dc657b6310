"""The loop that asks replicas whether they are well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.agent.checks import CheckResult
from headrace.agent.domain.health import LEAST_AT_ONCE, MOST_AT_ONCE
from headrace.agent.domain.kernels import KernelRecord
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.reconcile.probing import Prober
from headrace.agent.runtime.interface import PortProblem
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.model import HealthCheck
from headrace.common.runtime.clock import utc_now
from tests.support.wait import eventually
from tests.unit.agent.test_convergence import seen_of, spec_of

KERNEL = KernelId(new_uuid())


class ProbedKernel:
    """One kernel that runs, and what its port answers."""

    def __init__(self, folder: Path, check: HealthCheck) -> None:
        self.table = KernelRegistry(folder)
        self.table.load()
        spec = spec_of(KERNEL).model_copy(update={"health_check": check})
        self.table.put(KernelRecord(spec=spec, started_at=utc_now(), host_port=1))
        self.table.observe({KERNEL: seen_of(KERNEL, "running")})
        self.answers = asyncio.Event()
        self.answer = CheckResult(passed=False, detail="no answer")
        self.problem: PortProblem | None = None
        self.fails: Exception | None = None
        self.forgotten: list[int] = []
        self.asked = self.looks_at_the_clock = 0
        self.prober = Prober(self.table, self, self, self._now, port_open_timeout=timedelta(minutes=1))  # type: ignore[arg-type]

    def _now(self) -> datetime:
        self.looks_at_the_clock += 1
        return utc_now()

    async def ask(self, check: HealthCheck | None, port: int, *, kept: bool = False) -> CheckResult:
        self.asked += 1
        await self.answers.wait()
        if self.fails is not None:
            raise self.fails
        return self.answer

    def forget(self, port: int) -> None:
        self.forgotten.append(port)

    async def port_problem(self, kernel_id: KernelId, port: int) -> PortProblem | None:
        return self.problem

    async def listens(self, spec: Any, port: int) -> str | None:
        return None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ProbedKernel]:
        task = asyncio.create_task(self.prober.run())
        try:
            yield self
        finally:
            self.prober.stop()
            await task

    def is_now(self, status: str, failed: int = 0) -> bool:
        health = self.table.records[KERNEL].health
        return health is not None and health.status == status and health.failures >= failed


def check(**changes: object) -> HealthCheck:
    return HealthCheck.model_validate({"path": "/", "interval": 0.01, "max_retries": 0, "initial_delay": 0} | changes)


@pytest.mark.parametrize(("retries", "most"), [(0, LEAST_AT_ONCE), (20, 22), (10_000, MOST_AT_ONCE)])
async def test_of_a_program_that_hangs_as_many_checks_are_under_way_as_decide_and_no_more(
    tmp_path: Path, retries: int, most: int
) -> None:
    async with ProbedKernel(tmp_path, check(max_retries=retries)).running() as world:
        await eventually(lambda: world.looks_at_the_clock > 3 * MOST_AT_ONCE + 100)
        assert world.asked == most
        world.answers.set()
        if retries < MOST_AT_ONCE:
            await eventually(lambda: world.is_now("unhealthy"))


async def test_an_answer_after_which_nobody_listens_is_a_failed_check_and_another_programs_is_out_at_once(
    tmp_path: Path,
) -> None:
    async with ProbedKernel(tmp_path, check(max_retries=10_000)).running() as world:
        world.answer = CheckResult(passed=True, detail="answered 200", reached=True)
        world.answers.set()
        await eventually(lambda: world.is_now("healthy"))
        world.problem = PortProblem("nobody listens", foreign=False)
        await eventually(lambda: world.is_now("healthy", failed=3))
        world.problem = PortProblem("somebody else", foreign=True)
        await eventually(lambda: world.is_now("unhealthy"))
        world.problem = None
        await eventually(lambda: world.is_now("healthy"))


async def test_a_check_that_breaks_costs_its_kernel_only_and_begins_anew(tmp_path: Path) -> None:
    async with ProbedKernel(tmp_path, check()).running() as world:
        world.fails = ValueError("a mistake of ours")
        world.answers.set()
        await eventually(lambda: world.asked > 0)
        world.fails, world.answer = None, CheckResult(passed=True, detail="answered 200", reached=True)

        def begun_anew() -> bool:
            world.prober.sync()
            return world.is_now("healthy")

        await eventually(begun_anew)


async def test_a_kernel_that_runs_no_more_is_asked_no_more(tmp_path: Path) -> None:
    async with ProbedKernel(tmp_path, check()).running() as world:
        world.answers.set()
        await eventually(lambda: world.asked > 0)
        world.table.observe({KERNEL: seen_of(KERNEL, "exited")})
        world.prober.sync()
        await eventually(lambda: f"health-{KERNEL}" not in {task.get_name() for task in asyncio.all_tasks()})
        assert world.forgotten == [seen_of(KERNEL, "running").port]
