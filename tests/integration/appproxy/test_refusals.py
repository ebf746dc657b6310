"""Who is turned away before a replica sees anything: access, limits, nobody there, malformed requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.messages.routes import Limits, Revocation
from tests.support.factories.route_tables import Signer, route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_request, running


async def test_expect_100_continue(world: AppProxyWorld) -> None:
    signer = Signer()
    async with backend() as replica:
        world.apply(table("open", routes=(route(port=replica.port),)))
        world.apply(
            table("closed", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        )
        ask = "POST /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(ask.format("open").encode())
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        assert "Expect" not in replica.seen[0].headers
        refused = await raw_request(world.port, ask.format("closed").encode(), until=b"\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 401 ")  # and nobody asked for the body first


async def test_access(world: AppProxyWorld) -> None:
    signer, revoked = Signer(), TokenId(new_uuid())
    async with backend() as replica:
        private = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        world.apply(private)
        service = private.service_id

        async def call(authorization: str | None) -> tuple[int, str]:
            got = await world.http.get(
                f"{world.url}/chat/", headers={"Authorization": authorization} if authorization else {}
            )
            return got.status_code, "" if got.status_code == 200 else got.json()["reason"]

        assert await call(None) == (401, "missing-token")
        assert await call("Bearer x") == (401, "malformed-token")
        assert await call(f"Bearer {signer.token(service, lasts=timedelta(seconds=-60))}") == (401, "expired-token")
        assert await call(f"Bearer {Signer('other').token(service)}") == (401, "unknown-key")
        assert await call(f"Bearer {signer.token(new_uuid())}") == (403, "other-service")
        for scheme in ("Bearer", "BackendAI"):
            assert await call(f"{scheme} {signer.token(service, token_id=revoked)}") == (200, "")
        assert all("Authorization" not in request.headers for request in replica.seen)
        gone = Revocation.model_validate({"token_id": revoked, "expires_at": "2999-01-01T00:00:00Z"})
        world.apply(private.model_copy(update={"generation": 2, "revocations": (gone,)}))
        assert await call(f"Bearer {signer.token(service, token_id=revoked)}") == (401, "revoked-token")
        world.apply(private.model_copy(update={"generation": 3, "open_to_public": True}))
        assert await call("Bearer nonsense") == (200, "")
        challenge = await world.http.get(f"{world.url}/chat/")
        assert challenge.status_code == 200


@pytest.mark.parametrize(
    ("health", "wanted", "reason"),
    [(None, 0, "no-replicas"), (None, 1, "starting"), ("degraded", 1, "starting"), ("unhealthy", 1, "all-unhealthy")],
)
async def test_nobody_there(world: AppProxyWorld, health: str | None, wanted: int, reason: str) -> None:
    limits = Limits(queue_timeout_s=0.05)  # what is wanted may still come: it is waited for
    world.apply(table("chat", wanted=wanted, limits=limits, routes=(route(health=health),) if health else ()))
    got = await world.http.get(f"{world.url}/chat/")
    assert (got.status_code, got.json()["reason"]) == (503, reason)
    assert int(got.headers["retry-after"]) > 0


async def test_in_flight_limit(world: AppProxyWorld) -> None:
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response(text="done")

    async with backend(slow) as replica:
        limits = Limits(max_in_flight_per_replica=2, max_queued=0)
        world.apply(table("chat", limits=limits, routes=(route(1, port=replica.port), route(2, port=replica.port))))
        held = [asyncio.create_task(world.http.get(f"{world.url}/chat/")) for _ in range(4)]
        await eventually(lambda: len(replica.seen) == 4)
        refused = await world.http.get(f"{world.url}/chat/")
        assert (refused.status_code, refused.json()["reason"], refused.headers["retry-after"]) == (
            429,
            "replicas-full",
            "1",
        )
        release.set()
        assert {r.text for r in await asyncio.gather(*held)} == {"done"}
        assert (await world.http.get(f"{world.url}/chat/")).status_code == 200
        assert world.open_requests == 0


async def test_body_limits(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", limits=Limits(max_body_bytes=1000), routes=(route(port=replica.port),)))
        assert (await world.http.post(f"{world.url}/chat/", content=b"x" * 1000)).status_code == 200

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * 100

        for content in (b"x" * 1001, chunks()):
            got = await world.http.post(f"{world.url}/chat/", content=content)
            assert (got.status_code, got.json()["reason"]) == (413, "body-too-large")
        assert replica.bodies == [b"x" * 1000]


async def test_a_caller_that_stops_in_its_body_is_told(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        got = await raw_request(
            world.port, b"POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", until=b"}"
        )
        assert got.startswith(b"HTTP/1.1 408 ")
        assert b"caller-idle" in got
        bad = await raw_request(
            world.port, b"POST /chat/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        )
        assert b" 400 " in bad.splitlines()[0]


async def test_smuggling_shapes_are_refused(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        for head in (
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length : 3",
            "Transfer-Encoding: chunked, identity",
            "X: a\r\n b\x00: c",
        ):
            got = await raw_request(world.port, f"POST /chat/ HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\nabc".encode())
            assert b" 400 " in got.splitlines()[0], head
        assert b" 405 " in (
            await raw_request(
                world.port, b"CONNECT chat:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", until=b"\r\n"
            )
        )
        assert not replica.seen


async def test_global_bound(tmp_path: Path) -> None:
    hold = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await hold.wait()
        return web.Response()

    async with running(tmp_path / "data", max_open_requests=1) as world, backend(slow) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        held = asyncio.create_task(world.http.get(f"{world.url}/chat/"))
        await eventually(lambda: len(replica.seen) == 1)
        got = await world.http.get(f"{world.url}/chat/")
        assert (got.status_code, got.json()["reason"]) == (503, "proxy-full")
        hold.set()
        assert (await held).status_code == 200
