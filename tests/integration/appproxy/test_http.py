"""Plain HTTP through the proxy: addresses, bodies, headers."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.support.factories.route_tables import Signer, route, table
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_backend, raw_request

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_methods_paths_and_queries_pass(world: AppProxyWorld, method: str) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        answer = await world.http.request(
            method, f"{world.url}/chat/v1/x?a=1&b=%20", content=b"hello" if method != "GET" else None
        )
        assert (answer.status_code, answer.text) == (200, f"{method} /v1/x?a=1&b=%20")
        assert replica.bodies == [b"" if method == "GET" else b"hello"]


@pytest.mark.parametrize(
    "rest", ["/a%2Fb/../c//d?x=%20+y&z=a;b", "//etc/%zz", "/%2e%2e/%00?q=/../", "/?", "/~'()*!$,:@"]
)
async def test_targets_are_passed_verbatim(world: AppProxyWorld, rest: str) -> None:
    async def nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with raw_backend(nothing) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        await raw_request(world.port, f"GET /chat{rest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert replica.heads[0].split(b" ")[1].decode() == rest


async def test_host_names_and_absolute_targets(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        answer = await world.http.get(f"{world.url}/v1/x", headers={"Host": "Chat.models.test:80"})
        assert answer.text == "GET /v1/x"
        raw = await raw_request(world.port, b"GET http://any/chat/y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert raw.endswith(b"GET /y")


@pytest.mark.parametrize("path", ["/", "/nobody/x", "/-/x", "/_x", "/Chat", "/ch%61t"])
async def test_unknown_services_are_404(world: AppProxyWorld, path: str) -> None:
    world.apply(table("chat"))
    answer = await world.http.get(world.url + path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "unknown-service"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_headers_both_ways(world: AppProxyWorld) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        response = web.Response(
            text="x", headers={"X-From": "replica", "Keep-Alive": "timeout=1", "Server": "engine/1"}
        )
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "__Host-headrace_login=planted; Path=/; Secure")
        response.headers.add("Set-Cookie", "b=2")
        return response

    async with backend(answer) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        sent = {
            "X-Forwarded-User": "root",
            "X-Forwarded-For": "6.6.6.6",
            "Cookie": "c=1; headrace_login=the manager's",
            "User-Agent": "ua",
            "Accept-Encoding": "br",
            "X-Request-Id": "req-7",
            "traceparent": TRACE,
            "Authorization": "Bearer engine-key",
            "X-Mine": "1",
        }
        got = await world.http.get(f"{world.url}/chat/", headers=sent)
        seen = replica.seen[0].headers
        assert "X-Forwarded-User" not in seen
        assert (seen["X-Forwarded-For"], seen["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
        assert (seen["X-Forwarded-Host"], seen["X-Forwarded-Prefix"]) == (f"127.0.0.1:{world.port}", "/chat")
        assert (seen["X-Request-Id"], seen["traceparent"], seen["Via"]) == (
            "req-7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "1.1 headrace",
        )
        assert (seen["User-Agent"], seen["Cookie"], seen["Accept-Encoding"], seen["X-Mine"]) == ("ua", "c=1", "br", "1")
        assert seen["Host"] == f"127.0.0.1:{replica.port}"
        assert seen["Authorization"] == "Bearer engine-key"  # a public service's own credential
        assert "Content-Type" not in seen
        assert got.headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert (got.headers["server"], got.headers["x-from"], got.headers["x-request-id"]) == (
            "engine/1",
            "replica",
            "req-7",
        )
        assert "keep-alive" not in got.headers


async def test_bodies_stream_both_ways_without_waiting_for_the_end(world: AppProxyWorld) -> None:
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            got.put_nowait(chunk)
            await response.write(chunk.upper())
        return response

    async with backend(echo) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"POST /chat/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        assert await asyncio.wait_for(got.get(), 60) == b"a"
        head = await asyncio.wait_for(reader.readuntil(b"1\r\nA\r\n"), 60)
        assert b"Transfer-Encoding: chunked" in head
        writer.write(b"1\r\nb\r\n0\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 60) == b"1\r\nB\r\n0\r\n\r\n"
        writer.close()


async def test_large_bodies_arrive_whole(world: AppProxyWorld) -> None:
    size = 8 * 1024 * 1024

    async def count(request: web.Request) -> web.StreamResponse:
        total = 0
        async for chunk in request.content.iter_any():
            total += len(chunk)
        return web.Response(body=b"z" * total, headers={"X-Framing": request.headers.get("Content-Length", "chunked")})

    async with backend(count) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        answer = await world.http.post(f"{world.url}/chat/", content=b"y" * size)
        assert (len(answer.content), answer.headers["x-framing"]) == (size, str(size))


async def test_empty_answers_and_head(world: AppProxyWorld) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        status = int(request.path.strip("/"))
        return web.Response(status=status, headers={"ETag": '"x"'}, body=b"12345" if status == 200 else None)

    async with backend(answer) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        head = await world.http.head(f"{world.url}/chat/200")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "5", b"")
        for status in (204, 304):
            got = await world.http.get(f"{world.url}/chat/{status}")
            assert (got.status_code, got.content, got.headers["etag"]) == (status, b"", '"x"')
            assert "transfer-encoding" not in got.headers
        assert (await world.http.get(f"{world.url}/chat/200")).content == b"12345"


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 500, 503])
async def test_errors_of_the_replica_pass_untouched(world: AppProxyWorld, status: int) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"error": {"message": "mine"}}, status=status, reason="Because", headers={"Retry-After": "7"}
        )

    async with backend(answer) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        got = await world.http.get(f"{world.url}/chat/")
        assert (got.status_code, got.reason_phrase, got.headers["retry-after"]) == (status, "Because", "7")
        assert got.json() == {"error": {"message": "mine"}}
        assert len(replica.seen) == 1


async def test_interim_answers_are_skipped(world: AppProxyWorld) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        assert (await world.http.get(f"{world.url}/chat/")).text == "ok"


async def test_curl(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        command = [
            "curl",
            "-sS",
            "--fail",
            "-H",
            "Expect: 100-continue",
            "--data-binary",
            "@-",
            f"{world.url}/chat/up?x=1",
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(b"q" * 300_000)
        assert (process.returncode, out) == (0, b"POST /up?x=1")
        assert len(replica.bodies[0]) == 300_000


async def test_metrics_and_routes_page(world: AppProxyWorld) -> None:
    async with backend() as replica:
        signer = Signer()
        the_table = table(
            "chat",
            token_keys=(signer.public,),
            routes=(route(771, port=replica.port), route(772, port=replica.port, health="unhealthy")),
        )
        world.apply(the_table)
        for _ in range(3):
            await world.http.get(f"{world.url}/chat/?secret=1")
        page = await world.metrics()
        one = the_table.routes[0]
        labels = f'replica="{one.session_id}",revision="{one.revision_id}",service="chat"'
        assert f'headrace_proxy_requests_total{{code="200",{labels}}} 3.0' in page
        assert f"headrace_proxy_in_flight{{{labels}}} 0.0" in page
        assert f"headrace_proxy_time_to_first_byte_seconds_count{{{labels}}}" in page
        assert f"headrace_proxy_request_seconds_count{{{labels}}}" in page
        shown = await world.http.get(f"{world.admin}/routes")
        service = shown.json()["services"][0]
        assert (service["name"], service["token_keys"], [r["in_flight"] for r in service["routes"]]) == (
            "chat",
            1,
            [0, 0],
        )
        assert signer.public.public_key not in shown.text
