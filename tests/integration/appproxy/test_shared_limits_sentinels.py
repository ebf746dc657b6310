"""Shared limits by Sentinel: the primary dies, or a Sentinel hangs; limits hold here meanwhile, and over all app-proxies again."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from headrace.appproxy.dataplane.ratelimit.limiter import RateLimiter
from headrace.common.contracts.messages.routes import RateLimits
from tests.support.sentinels import Sentinels, sentinels_running
from tests.support.wait import eventually

BOUND = RateLimits(in_flight=1)


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncIterator[Sentinels]:
    async with sentinels_running(tmp_path / "sentinels") as group:
        yield group


def limiter(sentinels: Sentinels) -> RateLimiter:
    return RateLimiter(sentinels.url, timeout_s=6, retry_s=0.05)


async def test_a_primary_that_dies_is_followed_by_its_replica(sentinels: Sentinels) -> None:
    one, two = limiter(sentinels), limiter(sentinels)
    name = f"{uuid4()}:token:{uuid4()}"
    try:
        first = await sentinels.primary()
        await first.kill()

        async def shared() -> bool:
            held = await one.reserve(name, BOUND, 0)
            await one.settle(held.reservation, 0)
            return one.limiter_mode == "shared"

        await eventually(shared, within_s=60, every_s=0.1)
        held = await one.reserve(name, BOUND, 0)
        assert held.allowed
        assert not (await two.reserve(name, BOUND, 0)).allowed, "the other app-proxy knows of it"
        await one.settle(held.reservation, 0)
        assert (await two.reserve(name, BOUND, 0)).allowed
    finally:
        await one.close()
        await two.close()


async def test_a_sentinel_that_hangs_costs_no_decision(sentinels: Sentinels) -> None:
    """The address names it first; the others are asked within the same time-out."""
    sentinels.sentinels[0].signal(signal.SIGSTOP)
    limits = limiter(sentinels)
    try:
        assert (await limits.reserve(f"{uuid4()}:token:{uuid4()}", BOUND, 0)).allowed
        assert limits.limiter_mode == "shared"
    finally:
        await limits.close()
        sentinels.sentinels[0].signal(signal.SIGCONT)
