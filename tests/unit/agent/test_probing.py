"""The loop that asks replicas whether they are well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headrace.agent.checks import CheckResult
from headrace.agent.domain.health import MAX_CONCURRENT_CHECKS, MIN_CONCURRENT_CHECKS
from headrace.agent.runtime.interface import PortProblem
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.model import HealthCheck
from tests.support.wait import eventually
from tests.support.worlds.agent import AgentWorld
from tests.unit.agent.test_convergence import spec_of

KERNEL = KernelId(new_uuid())


@asynccontextmanager
async def probed(folder: Path, check: HealthCheck) -> AsyncIterator[AgentWorld]:
    """An agent with one kernel that runs, and does not pass its check."""
    world = AgentWorld(folder)
    world.checker.result = CheckResult(passed=False, detail="no answer")
    async with world.running() as agent:
        await world.plan(spec_of(KERNEL).model_copy(update={"health_check": check}))
        await eventually(lambda: world.checker.asked > 0)
        yield agent


def is_now(world: AgentWorld, status: str, failed: int = 0) -> bool:
    health = world.agent.kernels.records[KERNEL].health
    return health is not None and health.status == status and health.failures >= failed


def is_watched() -> bool:
    return f"health-{KERNEL}" in {task.get_name() for task in asyncio.all_tasks()}


def check(**changes: object) -> HealthCheck:
    return HealthCheck.model_validate({"path": "/", "interval": 0.01, "max_retries": 0, "initial_delay": 0} | changes)


@pytest.mark.parametrize(("retries", "most"), [(0, MIN_CONCURRENT_CHECKS), (20, 22), (10_000, MAX_CONCURRENT_CHECKS)])
async def test_of_a_program_that_hangs_as_many_checks_are_under_way_as_decide_and_no_more(
    tmp_path: Path, retries: int, most: int
) -> None:
    async with probed(tmp_path, check(max_retries=retries)) as world:
        await eventually(lambda: world.clock.reads > 3 * MAX_CONCURRENT_CHECKS + 100)
        assert world.checker.asked == most
        world.checker.answers.set()
        if retries < MAX_CONCURRENT_CHECKS:
            await eventually(lambda: is_now(world, "unhealthy"))


async def test_an_answer_after_which_nobody_listens_is_a_failed_check_and_another_programs_is_out_at_once(
    tmp_path: Path,
) -> None:
    async with probed(tmp_path, check(max_retries=10_000)) as world:
        world.checker.result = CheckResult(passed=True, detail="answered 200", reached=True)
        world.checker.answers.set()
        await eventually(lambda: is_now(world, "healthy"))
        world.runtime.problem = PortProblem("nobody listens", foreign=False)
        await eventually(lambda: is_now(world, "healthy", failed=3))
        world.runtime.problem = PortProblem("somebody else", foreign=True)
        await eventually(lambda: is_now(world, "unhealthy"))
        world.runtime.problem = None
        await eventually(lambda: is_now(world, "healthy"))


async def test_a_check_that_breaks_costs_its_kernel_only_and_begins_anew(tmp_path: Path) -> None:
    async with probed(tmp_path, check()) as world:
        world.checker.fails = ValueError("a mistake of ours")
        world.checker.answers.set()
        await eventually(lambda: not is_watched())
        world.checker.fails, world.checker.result = None, CheckResult(passed=True, detail="answered 200", reached=True)

        def begun_anew() -> bool:
            world.agent.prober.sync()
            return is_now(world, "healthy")

        await eventually(begun_anew)


async def test_a_kernel_that_runs_no_more_is_asked_no_more(tmp_path: Path) -> None:
    async with probed(tmp_path, check()) as world:
        world.checker.answers.set()
        port = world.runtime.kernels[KERNEL].port
        world.runtime.ends(KERNEL, 0)
        await eventually(lambda: not is_watched())
        assert world.checker.forgotten == [port]
