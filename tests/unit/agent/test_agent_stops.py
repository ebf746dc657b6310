"""What an agent that stops its kernels as it is stopped itself says of their ends, and its successor of those that live on."""

from __future__ import annotations

from pathlib import Path

from headrace.common.contracts.messages.reports import KernelReport
from tests.support.wait import eventually
from tests.support.worlds.agent import AgentWorld
from tests.unit.agent.test_agent import is_now, planned


def found(report: KernelReport | None) -> tuple[str, str, int | None]:
    assert report is not None
    return report.state, report.reason.code, report.exit_code


async def test_what_an_agent_stops_as_it_is_stopped_ended_for_that(tmp_path: Path) -> None:
    world, spec = AgentWorld(tmp_path), planned()
    async with world.running(stop_kernels_on_exit=True):
        await world.plan(spec)
        await eventually(lambda: is_now(world, spec, state="running", health="degraded"))
    assert found(world.report(spec.kernel_id)) == ("exited", "agent-stopped", 0)


async def test_what_outlives_an_agent_that_could_not_stop_it_ends_for_its_own_reason(tmp_path: Path) -> None:
    world, spec = AgentWorld(tmp_path), planned()
    async with world.running(stop_kernels_on_exit=True):
        await world.plan(spec)
        await eventually(lambda: is_now(world, spec, state="running", health="degraded"))
        world.runtime.stops = False
    async with world.running():
        await eventually(lambda: is_now(world, spec, state="running", health="degraded"))
        world.runtime.ends(spec.kernel_id, 3)
        await eventually(lambda: is_now(world, spec, state="exited", health="unhealthy"))
        assert found(world.report(spec.kernel_id)) == ("exited", "exited", 3)
