"""Rules on the real bus and real Redis, from samples to the manager's number."""

from __future__ import annotations

from typing import Any

import httpx
from redis.asyncio import Redis

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import subscribed
from headrace.common.contracts.messages.rulestates import RuleReport
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec
from tests.integration.autoscaler.conftest import Running
from tests.support.fakes.manager import FakeManager, Fleet, Service
from tests.support.wait import eventually

HIGH = {"cpu_util": 95.0}
LOW = {"cpu_util": 5.0}


def out(**changes: Any) -> RuleSpec:
    """CPU above 80 ⇒ one more, up to five, at most each minute."""
    base: dict[str, Any] = {
        "source": MetricSource.KERNEL,
        "metric": "cpu_util",
        "comparator": Comparator.GREATER_THAN,
        "threshold": 80,
        "step": 1,
        "max_replicas": 5,
        "cooldown_s": 60,
    }
    return RuleSpec(**(base | changes))


async def test_a_rule_fires_once_per_cooldown(manager: FakeManager, fleet: Fleet, autoscaler: Running) -> None:
    service = Service.of(out(cooldown_s=2, max_replicas=3))
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    async with autoscaler():
        await eventually(lambda: service.wanted == 2)
        first = manager.applied[0]
        assert (first.from_wanted, first.wanted, first.observed) == (1, 2, 95.0)
        assert first.reason.text == "cpu_util 95 > 80 (mean over 1 of 1 live kernels): 1 → 2 replicas"
        await eventually(lambda: service.wanted == 3)
        await eventually(lambda: manager.codes(service)[-1:] == ["above-maximum"])
        assert "cooling-down" in manager.codes(service)
    gaps = manager.applied[1].decided_at - manager.applied[0].decided_at
    assert gaps.total_seconds() >= 2.0
    fired = [outcome for outcome in manager.outcomes[service.rules[0].rule_id] if outcome.fired]
    assert [outcome.reason.code for outcome in fired] == ["rule-fired", "rule-fired"]
    assert len(manager.requests) == 2


async def test_out_and_in_with_engine_and_proxy_metrics(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    framework = MetricSource.INFERENCE_FRAMEWORK
    engine = Service.of(out(source=framework, metric="vllm:num_requests_waiting", threshold=3, cooldown_s=0))
    proxy = Service.of(
        out(
            source=framework,
            metric="headrace_in_flight",
            threshold=1,
            comparator=Comparator.LESS_THAN,
            step=-1,
            cooldown_s=0,
        ),
        wanted=4,
    )
    for service in (engine, proxy):
        await manager.put(service)
    fleet.say(engine, engine={"vllm:num_requests_waiting": 9})
    fleet.say(proxy, proxy={"headrace_in_flight": 0})
    async with autoscaler():
        await eventually(lambda: (engine.wanted, proxy.wanted) == (5, 1))
        await eventually(
            lambda: manager.codes(engine)[-1] == "above-maximum" and manager.codes(proxy)[-1] == "below-minimum"
        )
    assert [r.wanted for r in manager.applied if r.service_id == engine.id] == [2, 3, 4, 5]
    assert [r.wanted for r in manager.applied if r.service_id == proxy.id] == [3, 2, 1]


async def test_a_rule_sees_the_queue_of_the_whole_service_also_without_a_replica(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    queue = out(source=MetricSource.INFERENCE_FRAMEWORK, metric="headrace_queued", threshold=4, min_replicas=0)
    empty = Service.of(queue, wanted=0)
    empty.replicas = ()
    three = Service.of(queue, wanted=3)
    three.replicas = tuple(replica for _ in range(3) for replica in Service.of(queue).replicas)
    for service in (empty, three):
        await manager.put(service)
        fleet.say(service, whole={"headrace_queued": 6.0})
    async with autoscaler():
        await eventually(lambda: (empty.wanted, three.wanted) == (1, 4))
    texts = {request.service_id: (request.observed, request.reason.text) for request in manager.applied}
    why = "headrace_queued 6 > 4 (of the whole service, from 1 app-proxy)"
    assert texts == {empty.id: (6.0, f"{why}: 0 → 1 replicas"), three.id: (6.0, f"{why}: 3 → 4 replicas")}


async def test_a_missing_metric_is_said_and_noticed_when_it_stops(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    service = Service.of(out(comparator=Comparator.LESS_THAN, threshold=50, step=-1, min_replicas=0), wanted=1)
    await manager.put(service)
    async with autoscaler():
        await eventually(lambda: manager.codes(service) == ["metric-missing"])
        service.rules = Service.of(out(step=-1, comparator=Comparator.LESS_THAN, threshold=50, min_replicas=1)).rules
        await manager.put(service)
        fleet.say(service, kernel=LOW)
        await eventually(lambda: manager.codes(service)[-1:] == ["below-minimum"])
        fleet.say(service)
        await eventually(lambda: manager.codes(service)[-1:] == ["metric-missing"])
    assert manager.requests == []


async def test_samples_of_what_does_not_live_never_count(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    service = Service.of(out())
    ghost = Service(rules=service.rules, id=service.id)  # the same service, another session
    await manager.put(service)
    fleet.say(ghost, kernel=HIGH)
    async with autoscaler():
        await eventually(lambda: manager.codes(service) == ["metric-missing"])
        await eventually(lambda: len(manager.outcomes[service.rules[0].rule_id]) >= 3)
    assert manager.requests == []


async def test_a_refused_request_starts_no_cooldown(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, redis: Redis
) -> None:
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    manager.refuse = True
    async with autoscaler():
        await eventually(lambda: len(manager.requests) >= 3)
        await eventually(lambda: manager.codes(service)[-1:] == ["refused"])
        assert manager.applied == []
        assert not any(
            outcome.fired or outcome.cooldown_until for outcome in manager.outcomes[service.rules[0].rule_id]
        )
        manager.refuse = False
        await eventually(lambda: service.wanted == 2)
        await eventually(lambda: manager.codes(service)[-1:] == ["cooling-down"])
    assert len(manager.applied) == 1
    assert await redis.hkeys(f"headrace:{{{service.id}}}:state") == [f"fired:{service.rules[0].rule_id}"]


async def test_a_number_changed_by_somebody_else_is_not_overwritten(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    service = Service.of(out())
    await manager.put(service)
    service.wanted = 4  # a user scaled; the table that says so is on its way
    fleet.say(service, kernel=HIGH)
    async with autoscaler():
        await eventually(lambda: service.wanted == 5)
    assert [r.from_wanted for r in manager.requests] == [1, 4]
    assert [r.wanted for r in manager.applied] == [5]


async def test_a_lost_answer_leads_to_one_change_and_its_cooldown(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    manager.mute = True
    async with autoscaler(ask_timeout_s=0.5):
        await eventually(lambda: manager.codes(service)[-1:] == ["cooling-down"])
    assert "no-answer" in manager.codes(service)
    assert len(manager.requests) == 1
    assert service.wanted == 2


async def test_an_answer_that_never_comes_blocks_for_a_while_only(
    manager: FakeManager, fleet: Fleet, autoscaler: Running
) -> None:
    service = Service.of(out(cooldown_s=0))
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    manager.mute, manager.publishing = True, False
    async with autoscaler(ask_timeout_s=0.5, patience_s=1.0):
        await eventually(lambda: "awaiting-answer" in manager.codes(service))
        manager.mute, manager.publishing = False, True
        await eventually(lambda: len(manager.requests) >= 2)
        # It did not see that the first was done; the manager compares, and tells.
        assert not any(r.from_wanted == 1 for r in manager.applied[1:])
        await eventually(lambda: service.wanted == 5)


async def test_without_a_manager_nothing_counts_as_fired(fleet: Fleet, autoscaler: Running, bus: Bus) -> None:
    manager = FakeManager(bus)
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    async with autoscaler():
        async with subscribed(bus, RuleReport, manager._hear):
            await eventually(lambda: manager.codes(service)[-1:] == ["manager-away"])
        async with manager.running():
            await eventually(lambda: service.wanted == 2)


async def test_a_tombstone_drops_the_services_state(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, redis: Redis
) -> None:
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    pattern = f"headrace:{{{service.id}}}:*"
    async with autoscaler():
        await eventually(lambda: service.wanted == 2)

        async def keys() -> set[str]:
            return {key.rpartition(":")[2] async for key in redis.scan_iter(pattern)}

        async def all_there() -> bool:
            return await keys() == {"samples", "state", "lease"}

        await eventually(all_there)
        await manager.remove(service)

        async def gone() -> bool:
            return not await keys()

        await eventually(gone)  # the lease expires by itself


async def test_what_is_kept_in_redis_is_bounded(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, redis: Redis
) -> None:
    service = Service.of(out(threshold=99))
    await manager.put(service)
    fleet.say(service, kernel={**HIGH, "mem": 1.0}, engine={"tokens": 1.0})
    name = f"headrace:{{{service.id}}}:samples"
    async with autoscaler(flush_s=0.01):

        async def some() -> bool:
            return await redis.xlen(name) > 20

        await eventually(some)
        assert await redis.pttl(name) > 0
        newest: Any = await redis.xrevrange(name, count=1)
        ((_, fields),) = newest
        assert "mem" not in fields["d"]
        assert "tokens" not in fields["d"]


async def test_health_page_and_metrics(manager: FakeManager, autoscaler: Running) -> None:
    await manager.put(Service.of(out()))
    async with autoscaler() as url, httpx.AsyncClient(verify=False, timeout=60, base_url=url) as http:
        assert (await http.get("/livez")).json() == {"status": "ok"}
        assert (await http.get("/readyz")).json() == {"status": "ok", "failing": {}}

        async def counted() -> bool:
            return 'headrace_autoscaler_rules{reason="metric-missing"} 1.0' in (await http.get("/metrics")).text

        await eventually(counted)


async def test_many_services_in_one_tick(manager: FakeManager, fleet: Fleet, autoscaler: Running) -> None:
    services = [Service.of(out()) for _ in range(60)]
    for service in services:
        await manager.put(service)
        fleet.say(service, kernel=HIGH)
    async with autoscaler():
        await eventually(lambda: all(service.wanted == 2 for service in services))
    assert len(manager.applied) == 60


async def test_a_wrong_password_is_said_and_the_process_waits_for_a_right_one(process: Any) -> None:
    """As in the other services: the bus may learn it yet, or be another one after its restart."""
    started = process(nats_password="wrong")
    await eventually(lambda: "cannot connect to NATS" in started.log.read_text())
    async with httpx.AsyncClient(verify=False, timeout=60) as http:

        async def said() -> bool:
            ready = await http.get(f"{started.url}/readyz")
            assert (ready.status_code, started.child.poll()) == (503, None)
            return "Authorization" in ready.text

        await eventually(said)
