"""Callers' limits at the door of one app-proxy: who is refused, what the headers say, and what is given back when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from openai import AsyncOpenAI, RateLimitError

from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.messages.routes import Limits, RateLimits, RouteTable, TokenLimits
from tests.support.factories.route_tables import Signer, route, table
from tests.support.fakes.clock import StoppableClock
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend
from tests.support.worlds.appproxy_callers import Engine, call, robot, robots, says


async def test_requests_a_second(world: AppProxyWorld, clock: StoppableClock) -> None:
    async with backend(Engine()) as replica:
        free = robot(RateLimits(), "free")
        mine = robots(replica, RateLimits(requests_per_second=2))
        world.apply(mine.model_copy(update={"clients": (*mine.clients, free)}))
        known = {"x-headrace-limits": "local", "limit-requests": "2", "reason": ""}
        assert says(await call(world)) == known | {
            "status": "200",
            "remaining-requests": "1",
            "reset-requests": "500ms",
        }
        assert says(await call(world)) == known | {"status": "200", "remaining-requests": "0", "reset-requests": "1s"}
        over = await call(world)
        assert over.headers["content-type"] == "application/problem+json"
        refusal = known | {"status": "429", "reason": "request-rate", "remaining-requests": "0"}
        assert says(over) == refusal | {"reset-requests": "1s", "retry-after": "1", "retry-after-ms": "500"}
        clock.advance(0.4375)
        assert says(await call(world)) == refusal | {
            "reset-requests": "563ms",
            "retry-after": "1",
            "retry-after-ms": "63",
        }
        other = await call(world, user="free")
        assert says(other) == {"status": "200", "reason": ""}
        clock.advance(0.0625)
        assert (await call(world)).status_code == 200
        assert len(replica.seen) == 4, "what is refused reaches no replica"
        metrics = await world.metrics()
        assert 'headrace_proxy_refused_total{reason="request-rate",service="chat"} 2.0' in metrics


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engines_limits_are_told_to_callers_without_ours_only(world: AppProxyWorld, *, stream: bool) -> None:
    theirs = {"x-ratelimit-limit-requests": "9", "X-RateLimit-Reset-Tokens": "1s", "retry-after-ms": "70"}

    async def limited(request: web.Request) -> web.StreamResponse:
        headers = {**theirs, "x-headrace-limits": "shared", "X-Headrace-Odd": "x"}
        if not stream:
            return web.json_response({}, headers=headers)
        answer = web.StreamResponse(headers=headers)
        await answer.prepare(request)
        await answer.write(b"{}")
        return answer

    async with backend(limited) as replica:
        free = robot(RateLimits(), "free")
        mine = robots(replica, RateLimits(tokens_per_day=5000))
        world.apply(mine.model_copy(update={"clients": (*mine.clients, free)}))
        for _ in range(2):
            ours = await call(world)
            assert ours.headers.get_list("x-headrace-limits") == ["local"]
            told = says(ours)
            assert told.pop("limit-tokens") == "5000"
            assert told.keys() == {"status", "reason", "x-headrace-limits", "remaining-tokens", "reset-tokens"}
            assert says(await call(world, user="free")) == {
                "status": "200",
                "reason": "",
                "limit-requests": "9",
                "reset-tokens": "1s",
                "retry-after-ms": "70",
            }
            assert "x-headrace-odd" not in ours.headers


async def ends(_: asyncio.Task[httpx.Response], engine: Engine) -> None:
    engine.release.set()


async def leaves(running: asyncio.Task[httpx.Response], _: Engine) -> None:
    running.cancel()


@pytest.mark.parametrize(
    ("end", "asked"), [(ends, {}), (leaves, {}), (ends, {"crash": True}), (ends, {"stream": True})]
)
async def test_a_place_is_given_back_however_it_ends(
    world: AppProxyWorld, end: Callable[[Any, Engine], Awaitable[None]], asked: dict[str, Any]
) -> None:
    engine = Engine()
    async with backend(engine) as replica:
        world.apply(robots(replica, RateLimits(in_flight=1)))
        running = asyncio.create_task(call(world, hold=True, **asked))
        await eventually(lambda: engine.held == 1)
        assert says(await call(world)) == {
            "status": "429",
            "reason": "caller-in-flight",
            "x-headrace-limits": "local",
            "retry-after": "1",
            "retry-after-ms": "1000",
        }
        await end(running, engine)
        await asyncio.wait([running])
        if not running.cancelled():
            assert running.result().status_code == (502 if "crash" in asked else 200)
        await eventually(lambda: world.open_requests == 0)
        assert [(await call(world)).status_code for _ in range(3)] == [200] * 3


async def test_who_waits_in_the_queue_holds_a_place(world: AppProxyWorld) -> None:
    engine = Engine()
    async with backend(engine) as replica:
        world.apply(robots(replica, RateLimits(in_flight=2), limits=Limits(max_in_flight_per_replica=1)))
        running = asyncio.create_task(call(world, hold=True))
        await eventually(lambda: engine.held == 1)
        waiting = asyncio.create_task(call(world))
        await eventually(lambda: world.open_requests == 2)
        assert says(await call(world))["reason"] == "caller-in-flight"
        waiting.cancel()
        await eventually(lambda: world.open_requests == 1)
        again = asyncio.create_task(call(world))
        await eventually(lambda: world.open_requests == 2)
        engine.release.set()
        assert [answer.status_code for answer in await asyncio.gather(running, again)] == [200, 200]


async def test_the_openai_client_waits_as_long_as_it_is_told(
    world: AppProxyWorld, clock: StoppableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)

    monkeypatch.setattr("openai._base_client.anyio.sleep", sleep)
    signer, token_id = Signer(), TokenId(new_uuid())
    async with backend(Engine()) as replica:
        bound = TokenLimits(token_id=token_id, limits=RateLimits(requests_per_second=4, tokens_per_day=100))
        mine = table(
            "chat",
            open_to_public=False,
            token_keys=(signer.public,),
            token_limits=(bound,),
            routes=(route(port=replica.port),),
        )
        world.apply(mine)
        key = signer.token(mine.service_id, token_id=token_id)
        async with AsyncOpenAI(base_url=f"{world.url}/v1", api_key=key, max_retries=2) as openai:
            ask: Any = {"model": "chat", "messages": [], "extra_body": {"usage": {"prompt_tokens": 1}}}
            for _ in range(6):
                await openai.chat.completions.create(**ask, max_tokens=2)
            assert slept == [0.25, 0.25]
            with pytest.raises(RateLimitError) as over:
                await openai.with_options(max_retries=0).chat.completions.create(**ask, max_tokens=2)
            assert over.value.code == "request-rate"
            clock.advance(1)
            with pytest.raises(RateLimitError) as spent:
                await openai.with_options(max_retries=0).chat.completions.create(**ask, max_tokens=101)
            assert spent.value.code == "token-budget"
            assert spent.value.response.headers["x-ratelimit-remaining-tokens"] == "94"


@pytest.mark.usefixtures("clock")
async def test_whose_limits_count(world: AppProxyWorld) -> None:
    """A caller's own, else those that the service has for callers; each service and each caller by itself."""
    signer, special = Signer(), TokenId(new_uuid())
    async with backend(Engine()) as replica:
        own = TokenLimits(token_id=special, limits=RateLimits(requests_per_second=0.004))
        more: Any = {"token_keys": (signer.public,), "caller_limits": RateLimits(requests_per_second=0.002)}
        chat = table("chat", token_limits=(own,), routes=(route(port=replica.port),), **more)
        talk = table("talk", routes=(route(2, port=replica.port),), **more)
        world.apply(chat)
        world.apply(talk)

        async def told_to_wait_s(service: RouteTable, token_id: TokenId | None) -> int:
            token = signer.token(service.project_id, token_id=token_id)
            headers = {"Authorization": f"Bearer {token}"} if token_id is not None else {}
            served, over = [
                await world.http.post(f"{world.url}/{service.name}/", json={}, headers=headers) for _ in range(2)
            ]
            assert (served.status_code, over.status_code) == (200, 429)
            return int(over.headers["retry-after"])

        assert await told_to_wait_s(chat, special) == 250
        for service, token_id in (
            (chat, TokenId(new_uuid())),
            (chat, TokenId(new_uuid())),
            (chat, None),
            (talk, special),
            (talk, None),
        ):
            assert await told_to_wait_s(service, token_id) == 500


async def test_limits_that_a_token_says_hold_with_its_first_request_and_no_table_of_it(world: AppProxyWorld) -> None:
    async with backend() as replica:
        signer, token_id = Signer(), TokenId(new_uuid())
        one = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        world.apply(one)
        token = signer.token(one.service_id, token_id=token_id, limits={"requests_per_second": 0.01})
        shown = {"Authorization": f"Bearer {token}"}

        async def statuses(number: int) -> list[int]:
            answers = [await world.http.get(f"{world.url}/chat/", headers=shown) for _ in range(number)]
            return [answer.status_code for answer in answers]

        assert await statuses(3) == [200, 429, 429]
        assert (await world.http.get(f"{world.url}/chat/", headers=shown)).json()["reason"] == "request-rate"
        freed = TokenLimits(token_id=token_id)
        world.apply(one.model_copy(update={"generation": 2, "token_limits": (freed,)}))
        assert await statuses(3) == [200, 200, 200], "a table is never older than the token"
