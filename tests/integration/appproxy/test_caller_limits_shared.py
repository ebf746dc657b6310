"""Callers' limits over two app-proxies with one Valkey: exact together, local while it is gone, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from headrace.appproxy.dataplane.ratelimit.redis import RedisRateLimiter
from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.messages.routes import RateLimits, TokenLimits
from headrace.embedded.stack import EmbeddedServers
from tests.support.factories.route_tables import PROJECT, Signer, route, table
from tests.support.valkey import OwnValkey, own_valkey
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, running
from tests.support.worlds.appproxy_callers import Engine, call, left, robots, says

PATIENT_S = 10.0
"""How long Valkey is waited for, where being judged locally would be a failure."""


@pytest.fixture
async def two(servers: EmbeddedServers, tmp_path: Path) -> AsyncIterator[list[AppProxyWorld]]:
    """Two app-proxies with one Valkey."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running(tmp_path / name, redis_url=servers.redis_url, redis_timeout_s=PATIENT_S)
            )
            for name in ("one", "two")
        ]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[OwnValkey]:
    """A Valkey to stall and kill."""
    async with own_valkey(tmp_path / "valkey") as server:
        yield server


async def test_two_proxies_never_let_in_more_than_the_limit(two: list[AppProxyWorld]) -> None:
    engine = Engine()
    async with backend(engine) as replica:
        mine = robots(replica, RateLimits(in_flight=5))
        for world in two:
            world.apply(mine)
        calls = [asyncio.create_task(call(two[n % 2], hold=True)) for n in range(40)]
        await eventually(lambda: sum(one.done() for one in calls) == 35)
        refused = [says(one.result()) for one in calls if one.done()]
        assert {(one["reason"], one["x-headrace-limits"]) for one in refused} == {("caller-in-flight", "shared")}
        assert engine.held == 5
        engine.release.set()
        served = [one for one in await asyncio.gather(*calls) if one.status_code == 200]
        assert {one.headers["x-headrace-limits"] for one in served} == {"shared"}
        assert len(served) == 5

        async def all_given_back() -> bool:
            again = await asyncio.gather(*(call(two[n % 2]) for n in range(5)))
            return {one.status_code for one in again} == {200}

        await eventually(all_given_back)


async def test_two_proxies_spend_one_budget(two: list[AppProxyWorld]) -> None:
    async with backend(Engine()) as replica:
        mine = robots(replica, RateLimits(tokens_per_day=1_000_000))
        for world in two:
            world.apply(mine)
        used = {"prompt_tokens": 70, "completion_tokens": 30}
        done = await asyncio.gather(*(call(two[n % 2], max_tokens=500, usage=used) for n in range(50)))
        assert {one.status_code for one in done} == {200}
        for world in two:
            await eventually(lambda: _has_left(world, 1_000_000 - 50 * 100))  # noqa: B023 - awaited within its turn


async def test_a_projects_token_has_one_budget_at_all_services_and_proxies(two: list[AppProxyWorld]) -> None:
    signer, token_id = Signer(), TokenId(new_uuid())
    bearer = {"Authorization": f"Bearer {signer.token(PROJECT, token_id=token_id)}"}
    engine = Engine()
    async with backend(engine) as replica:
        own = TokenLimits(token_id=token_id, limits=RateLimits(tokens_per_day=1000))
        # The service `free` has not got the token's limits yet: it goes by those in the token, which has none.
        names = ("chat", "search", "free")
        tables = [
            table(
                name,
                open_to_public=False,
                token_keys=(signer.public,),
                token_limits=(own,) if name != "free" else (),
                routes=(route(port=replica.port),),
            )
            for name in names
        ]
        for world in two:
            for one in tables:
                world.apply(one)

        async def used(world: AppProxyWorld, name: str, **asked: object) -> httpx.Response:
            return await world.http.post(f"{world.url}/{name}/v1/completions", json=asked, headers=bearer)

        spent = {"max_tokens": 1, "usage": {"prompt_tokens": 60, "completion_tokens": 30}}
        done = await asyncio.gather(*(used(two[n % 2], names[n // 2 % 2], **spent) for n in range(10)))
        assert {one.status_code for one in done} == {200}

        async def left_everywhere() -> bool:
            told = [await world.http.get(f"{world.url}/{name}/", headers=bearer) for world in two for name in names[:2]]
            return {one.headers["x-ratelimit-remaining-tokens"] for one in told} == {"100"}

        await eventually(left_everywhere)
        refused = await used(two[1], "search", max_tokens=200)
        assert says(refused)["reason"] == "token-budget"
        assert (
            refused.json()["detail"]
            == "this caller has too few tokens of the day (UTC) left over all services of its project"
        )
        assert 0 < int(refused.headers["retry-after"]) <= 86_400
        assert (await used(two[1], "free", max_tokens=200)).status_code == 200


async def _has_left(world: AppProxyWorld, tokens: int) -> bool:
    return await left(world) == tokens


async def test_valkey_is_killed_and_comes_back(own: OwnValkey, tmp_path: Path) -> None:
    async with (
        running(tmp_path / "proxy", redis_url=own.url, redis_timeout_s=PATIENT_S) as world,
        backend(Engine()) as replica,
    ):
        world.apply(robots(replica, RateLimits(tokens_per_day=1000)))

        async def judged(how: str) -> bool:
            answer = await call(world, max_tokens=0, usage={"prompt_tokens": 0})
            assert answer.status_code == 200, "nobody is refused because of Valkey"
            return answer.headers["x-headrace-limits"] == how

        assert await judged("shared")
        assert (await call(world, max_tokens=1, usage={"prompt_tokens": 400})).status_code == 200
        await own.kill()
        assert await judged("local")
        assert (await call(world, max_tokens=990)).status_code == 200, "counted from nothing"
        assert says(await call(world, max_tokens=990))["reason"] == "token-budget"
        await own.start()
        await eventually(lambda: judged("shared"))
        assert await left(world) <= 600, "what was used is remembered"


async def leases(redis: Redis) -> list[bytes]:
    return [key async for key in redis.scan_iter(match="headrace:limits:*:open")]


async def test_who_leaves_while_valkey_is_asked_leaves_nothing_behind(own: OwnValkey, tmp_path: Path) -> None:
    async with (
        running(tmp_path / "proxy", redis_url=own.url, redis_timeout_s=PATIENT_S) as world,
        backend(Engine()) as replica,
        Redis.from_url(own.url) as redis,
    ):

        async def none_open() -> bool:
            return not await leases(redis)

        world.apply(robots(replica, RateLimits(in_flight=1, tokens_per_day=1000)))
        assert says(await call(world, usage={"prompt_tokens": 1}))["x-headrace-limits"] == "shared"
        await eventually(none_open, what="the first is settled, and its connection free for the next")
        own.stall()
        asking = asyncio.create_task(call(world, max_tokens=900))
        await eventually(lambda: world.open_requests == 1)
        asking.cancel()
        await eventually(lambda: world.open_requests == 0)
        own.go_on()
        await eventually(none_open, within_s=30, what="no lease is left, long before it would end by itself")
        await eventually(lambda: _has_left(world, 999))
        assert len(replica.seen) == 2


async def test_a_caller_is_answered_also_where_judging_it_fails(
    own: OwnValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*asked: object) -> None:
        raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr(RedisRateLimiter, "reserve", fails)
    async with (
        running(tmp_path / "proxy", redis_url=own.url, redis_timeout_s=PATIENT_S) as world,
        backend(Engine()) as replica,
    ):
        world.apply(robots(replica, RateLimits(in_flight=1)))
        answer = await call(world)
        assert (answer.status_code, answer.json()["type"]) == (500, "urn:headrace:problem:internal-error")
        assert world.open_requests == 0
        assert not replica.seen


async def test_a_proxy_that_stops_gives_back_what_it_held(own: OwnValkey, tmp_path: Path) -> None:
    engine = Engine()
    async with backend(engine) as replica, Redis.from_url(own.url) as redis:
        async with running(
            tmp_path / "proxy", shutdown_grace_s=0.1, redis_url=own.url, redis_timeout_s=PATIENT_S
        ) as world:
            world.apply(robots(replica, RateLimits(in_flight=1)))
            held = asyncio.create_task(call(world, hold=True))
            await eventually(lambda: engine.held == 1)
            assert len(await leases(redis)) == 1
        assert (await held).status_code == 503
        assert await leases(redis) == []
