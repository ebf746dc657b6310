"""Redis by Sentinel: the primary is killed or stalls, and scaling goes on with the replica that was promoted."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.autoscaler.conftest import Running, ready
from tests.integration.autoscaler.test_scaling import HIGH, out
from tests.support.fakes.manager import FakeManager, Fleet, Service
from tests.support.sentinels import Sentinels, Server, sentinels_running
from tests.support.wait import eventually


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncIterator[Sentinels]:
    async with sentinels_running(tmp_path / "sentinels") as group:
        yield group


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_scaling_goes_on_with_the_promoted_replica_and_no_rule_fires_twice(
    manager: FakeManager, fleet: Fleet, autoscaler: Running, sentinels: Sentinels, how: signal.Signals
) -> None:
    cooling, quiet = Service.of(out(cooldown_s=600)), Service.of(out(cooldown_s=600))
    for service in (cooling, quiet):
        await manager.put(service)
    fleet.say(cooling, kernel=HIGH)
    fleet.say(quiet, kernel={"cpu_util": 50.0})
    async with (
        autoscaler(id="autoscaler-1", redis_url=sentinels.url, redis_timeout_s=1.0) as one,
        autoscaler(id="autoscaler-2", redis_url=sentinels.url, redis_timeout_s=1.0) as two,
    ):
        await eventually(lambda: manager.codes(cooling)[-1:] == ["cooling-down"])
        first = await sentinels.primary()
        # Each has evaluated since its firing, so that the replica has it.
        first.signal(how)

        async def promoted() -> Server:
            now = await sentinels.primary()
            assert now is not first
            return now

        await eventually(promoted, within_s=60, every_s=0.1)
        for url in (one, two):
            await ready(url)
        fleet.say(quiet, kernel=HIGH)
        await eventually(lambda: quiet.wanted == 2)
        said = len(manager.outcomes[cooling.rules[0].rule_id])
        await eventually(lambda: len(manager.outcomes[cooling.rules[0].rule_id]) > said + 1)
        assert manager.codes(cooling)[-1] == "cooling-down"
        if how == signal.SIGSTOP:  # the former primary is back, and takes writes until it is told that it is none
            first.signal(signal.SIGCONT)

            async def follows() -> bool:
                return bool((await first.ask("INFO", "replication"))["role"] == "slave")

            await eventually(follows, within_s=60, every_s=0.1)
        for url in (one, two):
            await ready(url)
    assert [(request.service_id, request.wanted) for request in manager.requests] == [(cooling.id, 2), (quiet.id, 2)]
