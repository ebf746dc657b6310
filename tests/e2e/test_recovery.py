"""Parts of Headrace are killed; the services go on."""

from __future__ import annotations

import signal
from functools import partial

import pytest
import pytest_asyncio

from tests.support.load import Load
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


def _answered_since(load: Load, count: int) -> bool:
    return len(load.answers) > count + 50


def _is_another(stack: Stack, name: str, old: int | None) -> bool:
    return stack.pid(name) not in (None, old)


@pytest_asyncio.fixture(loop_scope="session")
async def steady(any_stack: Stack) -> str:
    """A service of two engines; returns its name."""
    if (await any_stack.api.http.get("/v1/services/steady")).status_code == 404:
        await any_stack.engine_service("steady", replicas=2)
    await any_stack.api.call("PATCH", "/v1/services/steady", {"replicas": 2})
    await any_stack.api.until_healthy("steady", replicas=2)
    return "steady"


async def test_a_killed_agent_adopts_what_runs_and_no_traffic_is_lost(any_stack: Stack, steady: str) -> None:
    api = any_stack.api
    token = (await api.token(steady))["token"]
    before = sorted((r["id"], r["address"]) for r in (await api.service(steady))["replica_list"])
    running = any_stack.replica_identities(steady)
    async with Load(f"{any_stack.proxy}/{steady}/v1/models", token) as load:
        old = any_stack.pid("agent-1")
        any_stack.kill("agent-1")
        await eventually(lambda: any_stack.pid("agent-1") not in (None, old))

        async def heard_again() -> bool:
            agent = await api.call("GET", "/v1/agents/agent-1")
            return agent["status"] == "alive" and len(agent["kernels"]) >= 2

        await eventually(heard_again)
        await api.until_healthy(steady, replicas=2)
    after = await api.service(steady)
    assert sorted((r["id"], r["address"]) for r in after["replica_list"]) == before
    assert any_stack.replica_identities(steady) == running
    assert load.failures == []


async def test_a_silent_agent_costs_no_traffic(any_stack: Stack, steady: str) -> None:
    """The machine is declared lost, but its containers answer: they serve until others do, and go on when it is back."""
    api = any_stack.api
    token = (await api.token(steady))["token"]
    before = {r["id"] for r in (await api.service(steady))["replica_list"]}
    async with Load(f"{any_stack.proxy}/{steady}/v1/models", token, workers=4) as load:
        any_stack.kill("agent-1", signal.SIGSTOP)
        try:

            async def lost() -> bool:
                return bool((await api.call("GET", "/v1/agents/agent-1"))["status"] == "lost")

            await eventually(lost)
            seen = await api.service(steady)
            assert (seen["status"], seen["healthy_replicas"]) == ("unhealthy", 0), (
                "what nobody can vouch for is not called healthy"
            )
            assert any("silent" in r["reason"]["text"] for r in seen["replica_list"])
            count = len(load.answers)
            await eventually(lambda: len(load.answers) > count + 100)
        finally:
            any_stack.kill("agent-1", signal.SIGCONT)
        await api.until_healthy(steady, replicas=2)
    assert load.failures == []
    assert {r["id"] for r in (await api.service(steady))["replica_list"]} == before


async def test_a_manager_killed_during_a_scale_out_converges(any_stack: Stack, steady: str) -> None:
    api = any_stack.api
    token = (await api.token(steady))["token"]
    async with Load(f"{any_stack.proxy}/{steady}/v1/models", token) as load:
        await api.call("PATCH", f"/v1/services/{steady}", {"replicas": 4})
        old = any_stack.pid("manager")
        any_stack.kill("manager")
        await eventually(lambda: any_stack.pid("manager") not in (None, old))
        await eventually(any_stack.manager_answers)
        await api.until_healthy(steady, replicas=4)
        await api.call("PATCH", f"/v1/services/{steady}", {"replicas": 2})
        await api.until_healthy(steady, replicas=2)
    assert load.failures == []


async def test_serving_goes_on_while_manager_and_bus_are_killed(any_stack: Stack, steady: str) -> None:
    token = (await any_stack.api.token(steady))["token"]
    async with Load(f"{any_stack.proxy}/{steady}/v1/models", token, workers=4) as load:
        for name in ("manager", "nats", "postgres", "valkey"):
            old, count = any_stack.pid(name), len(load.answers)
            any_stack.kill(name)
            await eventually(partial(_answered_since, load, count))
            await eventually(partial(_is_another, any_stack, name, old), within_s=60)
        await eventually(any_stack.manager_answers, within_s=60)
        await any_stack.api.call("PATCH", f"/v1/services/{steady}", {"replicas": 3})
        await any_stack.api.until_healthy(steady, replicas=3, within_s=90)
    assert load.failures == []


async def test_a_rule_scales_out_under_real_load_and_back_in(any_stack: Stack) -> None:
    api = any_stack.api
    await any_stack.engine_service("elastic", replicas=1, environ={"HEADRACE_ENGINE_TIME_PER_TOKEN_S": "0.05"})
    await api.until_healthy("elastic", replicas=1)
    common = {
        "source": "inference-framework",
        "metric": "vllm:num_requests_running",
        "min_replicas": 1,
        "max_replicas": 2,
        "cooldown_s": 3,
    }
    await api.call(
        "POST", "/v1/services/elastic/rules", {**common, "comparator": "GREATER_THAN", "threshold": 3, "step": 1}
    )
    await api.call(
        "POST", "/v1/services/elastic/rules", {**common, "comparator": "LESS_THAN", "threshold": 0.5, "step": -1}
    )
    token = (await api.token("elastic"))["token"]
    body: dict[str, object] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
    async with Load(f"{any_stack.proxy}/elastic/v1/chat/completions", token, workers=10, body=body) as load:
        await api.until_healthy("elastic", replicas=2, within_s=60)
    assert load.failures == []
    await api.until_healthy("elastic", replicas=1, within_s=60)
    decisions = (await api.call("GET", "/v1/services/elastic/decisions"))["items"]
    assert [(d["from_replicas"], d["to_replicas"]) for d in decisions if d["source"] == "rule"][-2:] == [(2, 1), (1, 2)]
    assert "vllm:num_requests_running" in decisions[0]["reason"]["text"]
    rules = (await api.call("GET", "/v1/services/elastic/rules"))["items"]
    assert all(rule["outcome"]["reason"]["text"] for rule in rules)
    await api.remove("elastic")


async def test_delete_always_completes_and_leaves_nothing(any_stack: Stack) -> None:
    api = any_stack.api
    await any_stack.engine_service("brief", replicas=2)
    await api.until_healthy("brief", replicas=2)
    assert len(any_stack.replica_identities("brief")) == 2
    await api.remove("brief", within_s=60)
    await eventually(lambda: any_stack.replica_identities("brief") == {})
