"""A data plane closes what it holds open, also where something failed or hangs on the way out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from headrace.appproxy.control.workers.pool import WorkerPool
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.ipc.codec import EncodedMessage
from headrace.appproxy.settings import Settings
from headrace.common.contracts.messages.routes import RateLimits
from tests.support.valkey import own_valkey
from tests.support.wait import eventually
from tests.support.worlds.appproxy import backend, running
from tests.support.worlds.appproxy_callers import Engine, call, robots, says

LIMITS = RateLimits(in_flight=5)


async def test_a_worker_that_cannot_obey_ends_in_order(tmp_path: Path) -> None:
    """Its last spans are sent before it ends, with connections to Redis open; then it is replaced."""
    async with (
        own_valkey(tmp_path / "valkey") as valkey,
        backend() as collector,
        backend(Engine()) as replica,
        running(
            tmp_path / "data",
            workers=1,
            redis_url=valkey.url,
            otel_share=1.0,
            otel_endpoint=f"http://127.0.0.1:{collector.port}/v1/traces",
        ) as world,
    ):
        traffic = world.proxy.traffic
        assert isinstance(traffic, WorkerPool)
        world.apply(robots(replica, LIMITS))
        await eventually(traffic.generations)
        assert says(await call(world))["x-headrace-limits"] == "shared"
        pids = traffic.pids
        (worker,) = traffic._workers
        worker.send_encoded(EncodedMessage(b'{"kind":"apply-table","sequence":99,"table":"no table","rows":{}}'))
        await eventually(lambda: worker.ended)
        assert worker.exit_reason == "exit status 1"
        assert [request.path for request in collector.seen] == ["/v1/traces"]
        await eventually(lambda: traffic.pids not in ([], pids))
        assert (await call(world)).status_code == 200


async def test_what_hangs_at_the_end_keeps_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.appproxy.dataplane.server.CLOSE_S", 0.2)
    async with own_valkey(tmp_path / "valkey") as valkey, Redis.from_url(valkey.url) as redis:
        settings = Settings(data_dir=tmp_path, redis_url=valkey.url, redis_timeout_s=10)
        plane = build_data_plane(settings, RouteTables(), notify=lambda: None)
        await plane.start()

        async def hang() -> None:
            await asyncio.Event().wait()

        hanging = plane.context.tasks.spawn(hang())
        assert (await plane.context.rate_limiter.reserve("robot", LIMITS, 1)).limiter_mode == "shared"
        assert len(await redis.client_list()) == 2
        async with asyncio.timeout(60):
            await plane.close()
        assert hanging.cancelled()

        async def alone() -> bool:
            return len(await redis.client_list()) == 1

        await eventually(alone)
