"""The simulated engine behind the proxy, called by the real `openai` client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, AuthenticationError

from tests.support.factories.route_tables import Signer, route, table
from tests.support.load import Load
from tests.support.servers import ModelServer, model_server
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld

ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ModelServer]:
    """An engine that sends a token every 40 ms."""
    flags = ["--time-to-first-token-s", "0.05", "--time-per-token-s", "0.04"]
    command = ["-m", "headrace.engine", "--host", "127.0.0.1", "--port", "{port}", "--model-name", "m", *flags]
    with model_server(command, tmp_path / "engine.log") as one:
        yield one


def client(world: AppProxyWorld, engine: ModelServer) -> AsyncOpenAI:
    signer = Signer()
    private = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=engine.port),))
    world.apply(private)
    return AsyncOpenAI(
        base_url=f"{world.url}/chat/v1", api_key=signer.token(private.service_id), max_retries=0, timeout=20
    )


async def test_events_arrive_one_by_one(world: AppProxyWorld, engine: ModelServer) -> None:
    async with client(world, engine) as openai:
        stream = await openai.chat.completions.create(**ASK, stream=True, max_tokens=4000)
        for _ in range(10):
            assert (await anext(stream)).choices
        assert (await debug(engine))["running"] == 1, "they came while it went on"
        await stream.close()
        whole = await openai.chat.completions.create(**ASK, max_tokens=3)
        assert whole.choices[0].message.content
        vectors = await openai.embeddings.create(model="m", input=["a", "b"])
        assert len(vectors.data) == 2
        wrong = AsyncOpenAI(base_url=f"{world.url}/chat/v1", api_key="nonsense", max_retries=0)
        with pytest.raises(AuthenticationError):
            await wrong.models.list()
        await wrong.close()


async def debug(engine: ModelServer) -> dict[str, Any]:
    return dict((await asyncio.to_thread(engine.http.get, "/debug/requests")).json())


@pytest.mark.parametrize("stream", [True, False])
async def test_a_caller_who_leaves_frees_the_engine(world: AppProxyWorld, engine: ModelServer, *, stream: bool) -> None:
    async with client(world, engine) as openai:
        call = asyncio.create_task(openai.chat.completions.create(**ASK, stream=stream, max_tokens=4000))

        async def count(state: str) -> int:
            return int((await debug(engine))[state])

        await eventually(lambda: count("running"))
        if stream:
            answer: Any = await call
            await answer.__anext__()
            await answer.close()
        call.cancel()
        await eventually(lambda: count("cancelled"))  # and did not come to its end
        assert await count("running") == 0
        await eventually(lambda: world.open_requests == 0)
        await asyncio.gather(call, return_exceptions=True)


async def test_a_cut_stream_is_an_error_for_the_client(world: AppProxyWorld, engine: ModelServer) -> None:
    async with client(world, engine) as openai:
        await asyncio.to_thread(engine.http.post, "/debug/settings", json={"cut_after_tokens": 3})
        stream = await openai.chat.completions.create(**ASK, stream=True, max_tokens=12)
        with pytest.raises(APIError, match="broke off"):
            async for _ in stream:
                pass


async def test_the_engine_dies_under_a_request(world: AppProxyWorld, engine: ModelServer) -> None:
    async with client(world, engine) as openai:
        stream = await openai.chat.completions.create(**ASK, stream=True, max_tokens=4000)
        await stream.__anext__()
        await asyncio.to_thread(engine.stop, 9)
        with pytest.raises(APIError):
            async for _ in stream:
                pass


async def test_a_replica_killed_under_load_costs_only_what_ran_on_it(
    world: AppProxyWorld, engine: ModelServer, tmp_path: Path
) -> None:
    flags = ["--time-to-first-token-s", "0.01", "--time-per-token-s", "0.001"]
    command = ["-m", "headrace.engine", "--host", "127.0.0.1", "--port", "{port}", "--model-name", "m", *flags]
    with model_server(command, tmp_path / "a.log") as one, model_server(command, tmp_path / "b.log") as two:
        world.apply(table("chat", routes=(route(1, port=one.port), route(2, port=two.port))))
        async with Load(
            f"{world.url}/chat/v1/chat/completions", None, workers=8, body={**ASK, "max_tokens": 4}, pause_s=0
        ) as load:
            await eventually(lambda: len(load.answers) > 100)
            await asyncio.to_thread(one.stop, 9)
            ended = load.sent  # until it is gone the kernel takes requests for it
            await eventually(lambda: sum(a.number > ended for a in load.answers) > 100)
        assert len(load.failures) <= 8
        assert [a for a in load.failures if a.number > ended] == []
        assert all("connection-lost" in a.outcome for a in load.failures)


async def test_reading_goes_on_while_a_replica_is_killed(world: AppProxyWorld, tmp_path: Path) -> None:
    """GETs may be sent again, so nobody sees the kill at all."""
    command = ["-m", "headrace.engine", "--host", "127.0.0.1", "--port", "{port}", "--model-name", "m"]
    with model_server(command, tmp_path / "a.log") as one, model_server(command, tmp_path / "b.log") as two:
        world.apply(table("chat", routes=(route(1, port=one.port), route(2, port=two.port))))
        async with Load(f"{world.url}/chat/v1/models", None, workers=8, pause_s=0) as load:
            await eventually(lambda: len(load.answers) > 100)
            await asyncio.to_thread(one.stop, 9)
            seen = len(load.answers)
            await eventually(lambda: len(load.answers) > seen + 200)
        assert load.failures == []
