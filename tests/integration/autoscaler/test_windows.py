"""Windows of samples on a real Valkey: what is written and read back, in how many commands, and what one bad stream costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from headrace.autoscaler.domain.window import Origin
from headrace.autoscaler.windows import BATCH, Batch, Windows, key
from headrace.common.contracts.ids import ServiceId
from headrace.embedded.stack import EmbeddedServers

KEEP = timedelta(seconds=10)


@pytest.fixture
async def bytes_redis(servers: EmbeddedServers) -> AsyncIterator[Redis]:
    """As the autoscaler opens it: answers are bytes."""
    client = Redis.from_url(servers.redis_url, protocol=2)
    yield client
    await client.aclose()


def batch_of(services: int) -> dict[ServiceId, dict[tuple[Origin, str, str], dict[str, list[float]]]]:
    return {
        ServiceId(uuid4()): {(Origin.KERNEL, "kernel-1", ""): {"cpu_util": [30.0, 2], "mem_util": [7.5, 1]}}
        for _ in range(services)
    }


async def commands(redis: Redis, name: str) -> int:
    """Return how often clients and scripts called it."""
    return int((await redis.info("commandstats")).get(f"cmdstat_{name}", {}).get("calls", 0))


async def now_of(redis: Redis) -> datetime:
    seconds, microseconds = await redis.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)


async def written(redis: Redis, batch: Batch) -> tuple[int, dict[ServiceId, str]]:
    """Write it; return how many scripts it took, and what was refused."""
    windows = Windows(redis, keep=KEEP)
    await windows.write({})  # the script is known
    before = await commands(redis, "evalsha")
    refused = await windows.write(batch)
    return await commands(redis, "evalsha") - before, refused


async def test_samples_of_many_services_are_written_by_one_script_for_each_batch_and_read_back(
    bytes_redis: Redis,
) -> None:
    await written(bytes_redis, batch_of(1))
    batch = batch_of(2 * BATCH + 1)
    scripts, refused = await written(bytes_redis, batch)
    assert (scripts, refused) == (3, {})
    windows, now = Windows(bytes_redis, keep=KEEP), await now_of(bytes_redis)
    await windows.read(batch, now)
    since = int((now - KEEP).timestamp() * 1000)
    for service in batch:
        window = windows.of(service)
        assert window.means(Origin.KERNEL, "cpu_util", "kernel-1", since_ms=since, fresh_ms=since) == [15.0]
        assert window.means(Origin.KERNEL, "mem_util", "kernel-1", since_ms=since, fresh_ms=since) == [7.5]
    lives_ms = [await bytes_redis.pttl(key(service, "samples")) for service in batch]
    assert min(lives_ms) > KEEP.total_seconds() * 1000
    assert max(lives_ms) <= KEEP.total_seconds() * 1000 + 60_000


async def test_a_key_that_is_no_stream_costs_the_samples_of_its_service_alone(bytes_redis: Redis) -> None:
    batch = batch_of(3)
    ill, *others = batch
    await bytes_redis.set(key(ill, "samples"), "something else")
    _, refused = await written(bytes_redis, batch)
    assert refused.keys() == {ill}
    assert "WRONGTYPE" in refused[ill]
    assert [await bytes_redis.xlen(key(service, "samples")) for service in others] == [1, 1]
    assert await bytes_redis.get(key(ill, "samples")) == b"something else"
