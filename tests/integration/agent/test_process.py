"""The agent on the process runtime, for real."""

from __future__ import annotations

import httpx

from tests.integration.agent.conftest import AgentUnderTest, make_spec


async def test_a_planned_kernel_runs_answers_and_goes_with_the_plan(agent: AgentUnderTest) -> None:
    spec = make_spec(command=("python", "-m", "http.server", "--directory", "/home/work", "8000"))
    await agent.plan(spec)
    row = await agent.kernel(spec, state="running", health="healthy")
    assert httpx.get(f"http://{row.host}:{row.port}/", timeout=5).status_code == 200
    assert row.created_at is not None
    await agent.plan()
    await agent.gone(spec)
