"""Four hosts with a network between them: machines join by token, links are cut under load, and heal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.load import Load
from tests.support.wait import eventually
from tests.support.worlds.hosts import Hosts, hosts_running

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.timeout(300)]
EXAMPLE = Path(__file__).parents[2] / "examples/chat-simulated"
QUESTION = {"model": "chat-simulated", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
FIRST_BYTE_S = 30
"""Longer than it takes to replace what is lost, so that what may be sent again is, before its time is over."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Hosts]:
    async with hosts_running(tmp_path) as running:
        yield running


async def agree(world: Hosts, **replicas: int) -> bool:
    """Check that allocations, the plan that the agent applied, processes and routes say so many replicas of each host."""
    for name, count in replicas.items():
        host = name.replace("_", "-")
        agent = await world.ask("agent", "show", host)
        assert agent["status"] == "alive"
        assert agent["plan_generation"] == agent["applied_generation"]
        assert float(agent["allocated"].get("cuda.device", 0)) == count
        assert [kernel["health"] for kernel in agent["kernels"]] == ["healthy"] * count
        assert len(world.replicas(host)) == count
        assert (
            len([route for route in await world.routes("chat") if route["host"] == world.hosts[host].address]) == count
        )
    return True


async def served(world: Hosts) -> str:
    """Serve the example with a replica on each host, and return a token."""
    await world.operator.runs("folder", "create", "chat")
    await world.operator.runs("folder", "upload", "chat", str(EXAMPLE))
    await world.operator.runs(
        *("service", "create", "chat", "--folder", "chat", "--replicas", "2", "--slot", "cuda.device=1"),
        *("--first-byte-timeout", str(FIRST_BYTE_S), "--wait"),
    )
    return str((await world.ask("token", "create", "chat"))["token"])


async def test_only_what_is_open_on_a_cut_link_is_lost_and_what_returns_is_fenced(world: Hosts) -> None:
    token = await served(world)
    await eventually(lambda: agree(world, gpu_1=1, gpu_2=1), every_s=0.5)
    assert [len(world.fetched(host)) for host in ("gpu-1", "gpu-2")] == [1, 1], "each has fetched the folder"
    on_both = await world.routes("chat")
    old = next(route["session_id"] for route in on_both if route["host"] == world.hosts["gpu-1"].address)
    base = f"{world.endpoints}/chat/v1"
    async with (
        Load(f"{base}/models", token, workers=4) as reads,
        Load(f"{base}/chat/completions", token, workers=4, body=QUESTION) as writes,
    ):
        await eventually(lambda: {entry["session_id"] for entry in world.requests()} >= _sessions(on_both))

        world.hosts["gpu-1"].cut()

        async def replaced() -> bool:
            routes = await world.routes("chat")
            return old not in _sessions(routes) and [route["health"] for route in routes] == ["healthy"] * 2

        await eventually(replaced, every_s=0.2)
        lost = await world.ask("agent", "show", "gpu-1")
        assert (lost["status"], lost["allocated"]["cuda.device"]) == ("lost", "1"), "what may still run keeps its GPU"
        assert len(world.replicas("gpu-1")) == 1, "no replica is stopped because a manager is silent"
        world.hosts["gpu-1"].heal()
        await eventually(lambda: agree(world, gpu_1=0, gpu_2=2), every_s=0.5)

        seen = len(reads.answers)
        world.hosts["control"].cut()
        await eventually(lambda: len(reads.answers) > seen + 100)
        world.hosts["control"].heal()
        await eventually(lambda: agree(world, gpu_1=0, gpu_2=2), every_s=0.5)
        await world.operator.runs("service", "scale", "chat", "3", "--wait")
        await eventually(lambda: agree(world, gpu_1=1, gpu_2=2), every_s=0.5)

    log = world.requests()
    assert len(log) == reads.sent + writes.sent == len(reads.answers) + len(writes.answers)
    assert reads.failures == [], "what may be sent again is sent to another replica"
    failed = [entry for entry in log if entry["status"] != 200 or entry["broken"] is not None]
    assert len(failed) == len(writes.failures)
    for entry in failed:  # it may have run there: it is not sent twice
        assert (entry["session_id"], entry["method"]) == (old, "POST"), entry
        assert entry["reason"] in {"first-byte-timeout", "connection-lost", "replica-unreachable"}, entry
    assert failed or [entry for entry in log if entry["retries"]], "some were open on the link"
    async with httpx.AsyncClient(verify=False) as http:
        assert (await http.get(f"{base}/models")).status_code == 401


def _sessions(routes: list[dict[str, object]]) -> set[object]:
    return {route["session_id"] for route in routes}
