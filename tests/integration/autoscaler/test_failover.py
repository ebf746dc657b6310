"""Several autoscalers, a bus that comes later, and a Redis that goes away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from headrace.embedded.stack import EmbeddedServers
from tests.chaos.stack.relays import Relay
from tests.integration.autoscaler.conftest import Process, Running, ready
from tests.integration.autoscaler.test_scaling import HIGH, out
from tests.support.fakes.manager import FakeManager, Fleet, Service
from tests.support.ports import free_port
from tests.support.wait import eventually


async def test_two_autoscalers_fire_once(manager: FakeManager, fleet: Fleet, autoscaler: Running) -> None:
    services = [Service.of(out()) for _ in range(10)]
    for service in services:
        await manager.put(service)
        fleet.say(service, kernel=HIGH)
    async with autoscaler(id="autoscaler-1"), autoscaler(id="autoscaler-2"):
        await eventually(lambda: all(manager.codes(service)[-1:] == ["cooling-down"] for service in services))
        evaluations = {s.id: len(manager.outcomes[s.rules[0].rule_id]) for s in services}
        await eventually(
            lambda: all(len(manager.outcomes[s.rules[0].rule_id]) > evaluations[s.id] + 1 for s in services)
        )
    assert [service.wanted for service in services] == [2] * 10
    assert len(manager.requests) == 10


async def test_one_that_starts_before_the_bus_says_so_and_begins_when_it_comes(
    manager: FakeManager, fleet: Fleet, process: Callable[..., Process], servers: EmbeddedServers
) -> None:
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    bus = Relay("bus", free_port(), lambda: urlsplit(servers.nats_url).port)
    early = process(nats_url=f"nats://127.0.0.1:{bus.port}")
    async with httpx.AsyncClient(verify=False, timeout=60) as http:

        async def told() -> str:
            try:
                answer = await http.get(f"{early.url}/readyz")
            except httpx.TransportError:
                return ""
            assert early.child.poll() is None
            return str(answer.json()["failing"].get("bus", "")) if answer.status_code == 503 else ""

        async def why() -> bool:
            return "refused" in (said := await told()).lower() and said.startswith("not connected to NATS for ")

        await eventually(why, within_s=60)
    await bus.open()
    try:
        await ready(early.url)
        await eventually(lambda: service.wanted == 2)
    finally:
        await bus.close()


async def test_when_one_is_killed_the_other_continues_with_its_cooldowns(
    manager: FakeManager, fleet: Fleet, process: Callable[..., Process], redis: Redis
) -> None:
    service = Service.of(out(cooldown_s=600))
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    first = process(id="autoscaler-1")
    await ready(first.url)
    await eventually(lambda: service.wanted == 2)
    second = process(id="autoscaler-2")
    await ready(second.url)
    lease = f"headrace:{{{service.id}}}:lease"
    holder = await redis.get(lease)
    first.child.send_signal(signal.SIGKILL)

    async def taken_over() -> bool:
        now = await redis.get(lease)
        return now is not None and now != holder

    await eventually(taken_over)
    said = len(manager.outcomes[service.rules[0].rule_id])
    await eventually(lambda: len(manager.outcomes[service.rules[0].rule_id]) > said + 1)
    last = manager.last(service)
    assert last is not None
    assert last.reason.code == "cooling-down"
    assert last.cooldown_until is not None
    begun = last.cooldown_until - timedelta(seconds=600)
    assert abs(begun - manager.applied[0].decided_at) < timedelta(milliseconds=1), "when the first one fired it"
    assert len(manager.requests) == 1


async def test_a_stopped_autoscaler_hands_over_at_once(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, redis: Redis
) -> None:
    service = Service.of(out())
    await manager.put(service)
    lease = f"headrace:{{{service.id}}}:lease"
    async with autoscaler(lease_s=60.0):

        async def taken() -> bool:
            return await redis.get(lease) is not None

        await eventually(taken)
    assert await redis.get(lease) is None


async def test_a_process_stops_on_sigterm(process: Callable[..., Process]) -> None:
    started = process()
    await ready(started.url)
    started.child.send_signal(signal.SIGTERM)
    assert started.child.wait(60) == 0
    assert "service_stopped" in started.log.read_text()
    assert "Traceback" not in started.log.read_text()


async def test_redis_killed_and_back(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, tmp_path: Path, servers: EmbeddedServers
) -> None:
    service = Service.of(out(cooldown_s=600))
    quiet = Service.of(out(threshold=1000))
    for one in (service, quiet):
        await manager.put(one)
    fleet.say(service, kernel=HIGH)
    fleet.say(quiet, kernel=HIGH)
    async with (
        EmbeddedServers(tmp_path / "own", only={"valkey"}) as own,
        httpx.AsyncClient(verify=False, timeout=60) as http,
        autoscaler(redis_url=own.redis_url, redis_timeout_s=0.5) as url,
    ):
        await eventually(lambda: manager.codes(service)[-1:] == ["cooling-down"])
        supervisor = own.supervisors["valkey"]

        async def unready() -> bool:
            answer = await http.get(f"{url}/readyz")
            return answer.status_code == 503 and "redis" in answer.json()["failing"]

        async def is_away_and_said() -> None:
            await eventually(unready)
            await eventually(lambda: manager.codes(quiet)[-1:] == ["redis-away"])
            said = manager.last(quiet)
            assert said is not None
            assert "while Redis does not answer" in said.reason.text
            assert (await http.get(f"{url}/livez")).status_code == 200

        async def is_back() -> None:
            await ready(url)
            await eventually(lambda: manager.codes(quiet)[-1:] == ["condition-not-met"])
            await eventually(lambda: manager.codes(service)[-1:] == ["cooling-down"])

        pid = supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # it hangs: connections stand, nothing answers
        await is_away_and_said()
        os.kill(pid, signal.SIGCONT)
        await is_back()
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: supervisor.restarts == 1 and supervisor.pid)
        said = len(manager.outcomes[quiet.rules[0].rule_id])
        await eventually(lambda: len(manager.outcomes[quiet.rules[0].rule_id]) > said + 1)
        await is_back()
    assert len(manager.requests) == 1


async def test_redis_may_come_later(
    manager: FakeManager, fleet: Fleet, process: Callable[..., Process], tmp_path: Path
) -> None:
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    async with EmbeddedServers(tmp_path / "own", only={"valkey"}) as own:
        url = own.redis_url  # the next start has the same
    started = process(redis_url=url)
    await eventually(lambda: "ticks_paused" in started.log.read_text())
    async with EmbeddedServers(tmp_path / "own", only={"valkey"}):
        await eventually(lambda: service.wanted == 2)
    assert "Traceback" not in started.log.read_text()


async def test_redis_that_lost_everything_does_not_make_a_rule_fire_again(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, redis: Redis
) -> None:
    service = Service.of(out())
    await manager.put(service)
    fleet.say(service, kernel=HIGH)
    async with autoscaler():
        await eventually(lambda: manager.codes(service)[-1:] == ["cooling-down"])
        await redis.delete(*(f"headrace:{{{service.id}}}:{what}" for what in ("samples", "state", "lease")))
        said = len(manager.outcomes[service.rules[0].rule_id])
        await eventually(lambda: len(manager.outcomes[service.rules[0].rule_id]) > said + 2)
    assert len(manager.requests) == 1
