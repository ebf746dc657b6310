"""An agent as wiring makes it, on a runtime that starts nothing: from plans to kernels and what is reported of them."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from headrace.agent.checks import CheckResult
from headrace.agent.reconcile.converge import TAIL_TRIES
from headrace.agent.runtime.interface import PortTaken, StartRefused
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.reasons.kernel import KernelReason
from tests.support.wait import eventually
from tests.support.worlds.agent import AgentWorld
from tests.unit.agent.test_convergence import spec_of


@pytest.fixture
async def world(tmp_path: Path) -> AgentWorld:
    return AgentWorld(tmp_path)


def planned() -> KernelSpec:
    return spec_of(KernelId(new_uuid()))


def is_now(world: AgentWorld, spec: KernelSpec, *, state: str, health: str) -> bool:
    report = world.report(spec.kernel_id)
    return report is not None and (report.state, report.health) == (state, health)


async def test_what_is_planned_is_started_and_checked_and_what_is_not_is_stopped_and_removed(world: AgentWorld) -> None:
    one, other = planned(), planned()
    world.checker.answers.set()
    async with world.running():
        await world.plan(one, other)
        await eventually(lambda: all(is_now(world, spec, state="running", health="healthy") for spec in (one, other)))
        await world.plan(other)
        await eventually(lambda: list(world.runtime.kernels) == [other.kernel_id])
        assert [what for what, kernel_id in world.runtime.calls if kernel_id == one.kernel_id] == [
            "start",
            "stop",
            "remove",
        ]
        await eventually(lambda: world.report(one.kernel_id) is None)


async def test_an_agent_that_starts_again_knows_its_plan_and_starts_nothing_twice(world: AgentWorld) -> None:
    spec = planned()
    world.checker.answers.set()
    async with world.running():
        await world.plan(spec)
        await eventually(lambda: is_now(world, spec, state="running", health="healthy"))
    async with world.running():
        await eventually(lambda: is_now(world, spec, state="running", health="healthy"))
        assert world.runtime.calls == [("start", spec.kernel_id)]
        await world.plan()
        await eventually(lambda: not world.runtime.kernels)


async def test_a_kernel_whose_program_ended_stays_as_it_is_until_it_leaves_the_plan(world: AgentWorld) -> None:
    spec = planned()
    async with world.running():
        await world.plan(spec)
        await eventually(lambda: spec.kernel_id in world.runtime.kernels)
        world.runtime.ends(spec.kernel_id, 3)
        await eventually(lambda: is_now(world, spec, state="exited", health="unhealthy"))
        report = world.report(spec.kernel_id)
        assert report is not None
        assert report.exit_code == 3
        assert "its last words" in report.reason.text
        assert world.runtime.calls == [("start", spec.kernel_id)]


async def test_last_lines_that_come_late_are_told_after_the_exit(world: AgentWorld) -> None:
    """As on a machine that is too busy to read a log in the time that the report of an exit may wait."""
    spec = planned()
    world.runtime.hanging_logs = 2
    async with world.running():
        await world.plan(spec)
        await eventually(lambda: spec.kernel_id in world.runtime.kernels)
        world.runtime.ends(spec.kernel_id, 7)
        await eventually(lambda: is_now(world, spec, state="exited", health="unhealthy"))
        await eventually(lambda: _told(world, spec).endswith("; last lines: its last words"))
        assert world.runtime.hanging_logs == 0


async def test_a_log_that_never_comes_is_not_asked_for_for_ever(world: AgentWorld) -> None:
    spec = planned()
    world.runtime.hanging_logs = 1000
    async with world.running(reconcile_every=timedelta(seconds=0.1)):
        await world.plan(spec)
        await eventually(lambda: spec.kernel_id in world.runtime.kernels)
        world.runtime.ends(spec.kernel_id, 7)
        await eventually(lambda: world.runtime.hanging_logs == 1000 - TAIL_TRIES)
        looks = world.runtime.looks
        await eventually(lambda: world.runtime.looks > looks + 2)
        assert world.runtime.hanging_logs == 1000 - TAIL_TRIES
        assert _told(world, spec) == "its program ended with exit code 7"


def _told(world: AgentWorld, spec: KernelSpec) -> str:
    report = world.report(spec.kernel_id)
    assert report is not None
    return report.reason.text


async def test_a_start_whose_port_was_taken_meanwhile_gets_another_one(world: AgentWorld) -> None:
    spec = planned()
    world.runtime.failures = [PortTaken(KernelReason.START_FAILED, "taken")] * 2
    async with world.running():
        await world.plan(spec)
        await eventually(lambda: spec.kernel_id in world.runtime.kernels)
        assert len(set(world.runtime.ports)) == 3
        await eventually(lambda: world.report(spec.kernel_id) and _state(world, spec) == "running")


async def test_a_start_that_finds_no_port_fails_in_the_end_and_says_so(world: AgentWorld) -> None:
    spec = planned()
    world.runtime.failures = [PortTaken(KernelReason.START_FAILED, "the port is taken")] * 3
    async with world.running():
        await world.plan(spec)
        await eventually(lambda: world.report(spec.kernel_id) and _state(world, spec) == "failed")
        assert _told(world, spec) == "the port is taken"
        assert len(world.runtime.ports) == 3


async def test_a_start_that_breaks_is_told_and_costs_nothing_else(world: AgentWorld) -> None:
    breaks, other = planned(), planned()
    world.runtime.failures = [ValueError("no such thing")]
    async with world.running():
        await world.plan(breaks)
        await eventually(lambda: world.report(breaks.kernel_id) and _state(world, breaks) == "failed")
        assert _told(world, breaks) == "the agent could not start it: no such thing; the agent's log says more"
        await world.plan(breaks, other)
        await eventually(lambda: other.kernel_id in world.runtime.kernels)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_start_that_meets_a_full_disk_is_tried_again(world: AgentWorld, *, wrapped: bool) -> None:
    spec = planned()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    refused = StartRefused(KernelReason.START_FAILED, "its folder cannot be made")
    refused.__cause__ = full
    world.runtime.failures = [refused if wrapped else full]
    async with world.running(reconcile_every=timedelta(seconds=0.1)):
        await world.plan(spec)
        await eventually(lambda: spec.kernel_id in world.runtime.kernels)
        assert [what for what, _ in world.runtime.calls] == ["start", "start"]


def _state(world: AgentWorld, spec: KernelSpec) -> str:
    report = world.report(spec.kernel_id)
    assert report is not None
    return report.state


async def test_a_runtime_that_is_away_holds_up_a_start_and_forgets_no_kernel(world: AgentWorld) -> None:
    first, second = planned(), planned()
    async with world.running():
        await world.plan(first)
        await eventually(lambda: first.kernel_id in world.runtime.kernels)
        world.runtime.away = True
        await world.plan(first, second)
        await eventually(lambda: world.agent.converger.runtime_error is not None)
        assert world.report(first.kernel_id) is not None
        world.runtime.away = False
        world.agent.converger.poke()
        await eventually(lambda: second.kernel_id in world.runtime.kernels)
        assert world.runtime.calls == [("start", first.kernel_id), ("start", second.kernel_id)]


async def test_a_program_whose_port_never_opens_is_a_failed_start_once_its_time_is_over(world: AgentWorld) -> None:
    spec = planned()
    world.checker.result = CheckResult(passed=False, detail="no answer")
    world.checker.answers.set()
    world.clock.stop()
    async with world.running(port_open_timeout=timedelta(minutes=30)):
        await world.plan(spec)
        await eventually(lambda: world.checker.asked > 2)
        assert is_now(world, spec, state="running", health="degraded")
        world.clock.advance(1801)

        def failed() -> bool:
            report = world.report(spec.kernel_id)
            return report is not None and report.reason.code == "port-never-opened"

        await eventually(failed)
