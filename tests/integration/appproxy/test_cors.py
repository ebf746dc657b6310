"""Browsers: preflight requests are answered before the token gate, and pages can read answers and refusals (CORS)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from headrace.common.contracts.cors import Cors
from headrace.common.contracts.messages.routes import Limits, RateLimits, RouteTable
from tests.support.factories.route_tables import PROJECT, Signer, route, table
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_request, running

APP = "https://app.example.com"
OTHER = "https://other.example.com"
ASKS = {
    "Origin": APP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,x-stainless-os",
}


def allowing(*origins: str, **more: Any) -> Cors:
    return Cors(allow_origins=origins, **more)


def said(answer: httpx.Response) -> dict[str, list[str]]:
    """What the answer tells browsers: all values of each field."""
    names = {name for name in answer.headers if name.startswith("access-control-") or name == "vary"}
    return {name: answer.headers.get_list(name) for name in sorted(names)}


def reads(answer: httpx.Response, origin: str = APP) -> None:
    """A page of this origin may read the answer, and caches know that others may not."""
    found = said(answer)
    assert found["access-control-allow-origin"] == [origin], "exactly one"
    assert "Origin" in found["vary"]
    assert "X-Request-Id" in found["access-control-expose-headers"][0]


async def engine(request: web.Request) -> web.StreamResponse:
    """Answers like an engine that has CORS of its own; a stream where it is asked for one."""
    own = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "x-engine",
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Accept-Encoding",
    }
    if request.query_string != "stream":
        return web.Response(text=request.method, headers=own)
    events = web.StreamResponse(headers={**own, "Content-Type": "text/event-stream"})
    await events.prepare(request)
    for number in range(3):
        await events.write(b"data: %d\n\n" % number)
    return events


@pytest.fixture
def signer() -> Signer:
    return Signer()


def closed(signer: Signer, port: int, **more: Any) -> RouteTable:
    """A service that needs a token."""
    return table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=port),), **more)


@pytest.mark.parametrize("path", ["/chat/v1/chat/completions", "//chat.models.test/v1/x"])
async def test_a_preflight_is_answered_without_a_token_and_without_the_replica(
    world: AppProxyWorld, signer: Signer, path: str
) -> None:
    async with backend() as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP, max_age_s=60)))
        host = {"Host": "chat.models.test"} if path.startswith("//") else {}
        url = f"{world.url}{path.removeprefix('//chat.models.test')}"
        for _ in range(3):  # on one connection
            answer = await world.http.options(url, headers=ASKS | host)
            assert (answer.status_code, answer.content) == (204, b"")
            assert "content-length" not in answer.headers
            assert said(answer) == {
                "access-control-allow-headers": ["authorization,x-stainless-os"],
                "access-control-allow-methods": ["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
                "access-control-allow-origin": [APP],
                "access-control-max-age": ["60"],
                "vary": ["Origin"],
            }
            assert answer.headers["x-request-id"]
        assert replica.seen == []
        assert 'headrace_proxy_preflights_total{service="chat"} 3.0' in await world.metrics()


async def test_a_page_that_may_not_call_is_told_so(world: AppProxyWorld, signer: Signer) -> None:
    async with backend() as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP)))
        for origin in (OTHER, "null", f"{APP}.evil.test"):
            answer = await world.http.options(f"{world.url}/chat/x", headers=ASKS | {"Origin": origin})
            assert (answer.status_code, answer.json()["reason"]) == (403, "origin-not-allowed")
            assert origin in answer.json()["detail"]
            assert "cors.allow_origins" in answer.json()["detail"]
            assert said(answer) == {"vary": ["Origin"]}
        assert replica.seen == []
        assert 'headrace_proxy_refused_total{reason="origin-not-allowed",service=""} 3.0' in await world.metrics()
        bearer = {"Authorization": f"Bearer {signer.token(PROJECT)}"}
        answer = await world.http.get(f"{world.url}/chat/x", headers={"Origin": OTHER, **bearer})
        assert (answer.status_code, said(answer)) == (200, {"vary": ["Origin"]}), "served, and not readable for it"


@pytest.mark.parametrize("query", ["", "?stream"])
async def test_answers_have_the_services_cors_and_not_the_engines(
    world: AppProxyWorld, signer: Signer, query: str
) -> None:
    async with backend(engine) as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP, expose_headers=("X-Model",))))
        bearer = {"Authorization": f"Bearer {signer.token(PROJECT)}"}
        for method in ("GET", "POST", "OPTIONS", "GET", "GET"):
            answer = await world.http.request(method, f"{world.url}/chat/x{query}", headers={"Origin": APP, **bearer})
            assert answer.status_code == 200
            reads(answer)
            assert "access-control-allow-credentials" not in answer.headers
            assert "Accept-Encoding" in answer.headers.get_list("vary")
            exposed = answer.headers.get_list("access-control-expose-headers")
            assert len(exposed) == 1
            assert "X-Model" in exposed[0]
        answer = await world.http.get(f"{world.url}/chat/x{query}", headers=bearer)
        assert said(answer) == {"vary": ["Accept-Encoding", "Origin"]}, "no page asks, but a cache may keep it"
        assert [request.headers.get("Origin") for request in replica.seen] == [APP] * 5 + [None]


async def test_a_page_can_read_why_it_was_refused(world: AppProxyWorld, signer: Signer) -> None:
    world.stop_time()
    cors = allowing(APP)
    async with backend() as replica:
        world.apply(closed(signer, replica.port, cors=cors, caller_limits=RateLimits(requests_per_second=1)))
        world.apply(table("none", cors=cors))
        world.apply(table("small", routes=(route(2, port=replica.port),), limits=Limits(max_body_bytes=3), cors=cors))
        world.apply(table("gone", routes=(route(3, port=9),), limits=Limits(max_queued=0), cors=cors))
        page = {"Origin": APP}
        bearer = {**page, "Authorization": f"Bearer {signer.token(PROJECT)}"}
        no_token = await world.http.get(f"{world.url}/chat/x", headers=page)
        two = await world.http.get(f"{world.url}/chat/x", headers=[*bearer.items(), ("Authorization", "Bearer x")])
        served = await world.http.get(f"{world.url}/chat/x", headers=bearer)
        too_often = await world.http.get(f"{world.url}/chat/x", headers=bearer)
        nobody = await world.http.get(f"{world.url}/none/x", headers=page)
        too_large = await world.http.post(f"{world.url}/small/x", content=b"1234", headers=page)
        unreachable = await world.http.get(f"{world.url}/gone/x", headers=page)
        answers = [no_token, two, served, too_often, nobody, too_large, unreachable]
        assert [answer.status_code for answer in answers] == [401, 401, 200, 429, 503, 413, 502]
        for answer in answers:
            reads(answer)
        assert "x-ratelimit-limit-requests" in too_often.headers
        assert "retry-after" in too_often.headers
        unknown = await world.http.get(f"{world.url}/nothing/x", headers=page)
        assert (unknown.status_code, said(unknown)) == (404, {}), "of a service that is none nobody said anything"


async def test_a_preflight_costs_the_caller_nothing(world: AppProxyWorld) -> None:
    world.stop_time()
    async with backend() as replica:
        limits = RateLimits(requests_per_second=1)
        world.apply(table("chat", routes=(route(port=replica.port),), cors=allowing(APP), caller_limits=limits))
        for _ in range(5):
            assert (await world.http.options(f"{world.url}/chat/x", headers=ASKS)).status_code == 204
        assert (await world.http.get(f"{world.url}/chat/x", headers={"Origin": APP})).status_code == 200


async def test_without_the_setting_nothing_changes(world: AppProxyWorld, signer: Signer) -> None:
    async with backend(engine) as replica:
        world.apply(table("open", routes=(route(port=replica.port),)))
        world.apply(closed(signer, replica.port))
        refused = await world.http.options(f"{world.url}/chat/x", headers=ASKS)
        assert (refused.status_code, said(refused)) == (401, {})
        passed = await world.http.options(f"{world.url}/open/x", headers=ASKS)
        assert (passed.status_code, passed.text) == (200, "OPTIONS")
        assert said(passed) == {
            "access-control-allow-credentials": ["true"],
            "access-control-allow-origin": ["*"],
            "access-control-expose-headers": ["x-engine"],
            "vary": ["Accept-Encoding"],
        }


async def test_a_change_holds_for_connections_that_are_open(world: AppProxyWorld) -> None:
    async with backend(engine) as replica:
        one = table("chat", routes=(route(port=replica.port),))
        world.apply(one)
        url, page = f"{world.url}/chat/x", {"Origin": APP}

        async def origins() -> list[str | None]:
            """What the same request is answered, so that heads are known on both sides."""
            return [(await world.http.get(url, headers=page)).headers.get("access-control-allow-origin") for _ in "123"]

        assert await origins() == ["*"] * 3
        world.apply(one.model_copy(update={"generation": 2, "cors": allowing(APP)}))
        assert await origins() == [APP] * 3
        world.apply(one.model_copy(update={"generation": 3, "cors": allowing(OTHER)}))
        assert await origins() == [None] * 3
        world.apply(one.model_copy(update={"generation": 4}))
        assert await origins() == ["*"] * 3
        assert replica.seen[0].transport is replica.seen[-1].transport


async def test_pages_of_different_origins_share_a_connection_to_the_replica(world: AppProxyWorld) -> None:
    async with backend(engine) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),), cors=allowing("https://*.example.com")))
        for _ in range(3):
            for origin in (APP, OTHER):
                reads(await world.http.get(f"{world.url}/chat/x", headers={"Origin": origin}), origin)


async def test_a_preflight_with_a_body_ends_its_connection(world: AppProxyWorld) -> None:
    world.apply(table("chat", routes=(route(),), cors=allowing("*")))
    head = b"OPTIONS /chat/x HTTP/1.1\r\nHost: h\r\nOrigin: https://a.test\r\nAccess-Control-Request-Method: GET\r\nContent-Length: 5\r\n\r\n"
    answer = await raw_request(world.port, head)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"Connection: close\r\n" in answer
    answer = await raw_request(world.port, head + b"12345" + head + b"12345", until=b"X-Request-Id")
    assert answer.startswith(b"HTTP/1.1 204 ")


@pytest.mark.parametrize("origins", [(APP,), ("*",)])
async def test_at_the_fleets_url_the_app_proxys_own_setting_decides(
    tmp_path: Path, signer: Signer, origins: tuple[str, ...]
) -> None:
    told = origins[0]
    async with (
        running(tmp_path / "data", fleet_cors_origins=list(origins)) as world,
        backend(engine) as replica,
    ):
        world.apply(closed(signer, replica.port, cors=allowing(OTHER)))
        url = f"{world.url}/v1/chat/completions"
        asked = await world.http.options(url, headers=ASKS)
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == told
        assert asked.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
        page = {"Origin": APP}
        bearer = {**page, "Authorization": f"Bearer {signer.token(PROJECT)}"}
        answers = [
            await world.http.post(url, json={"model": "chat"}, headers=bearer),
            await world.http.get(f"{world.url}/v1/models", headers=bearer),
            await world.http.post(url, json={"model": "chat"}, headers=page),
            await world.http.post(url, json={"model": "absent"}, headers=bearer),
            await world.http.post(url, content=b"[", headers=bearer),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 401, 404, 400]
        assert [answer.headers.get_list("access-control-allow-origin") for answer in answers] == [[told]] * 5
        own = await world.http.options(f"{world.url}/chat/v1/x", headers=ASKS)
        assert own.status_code == 403, "at its own address the service's setting decides"
        stranger = await world.http.options(url, headers=ASKS | {"Origin": "https://stranger.test"})
        if told == "*":
            assert stranger.status_code == 204
        else:
            assert (stranger.status_code, stranger.json()["error"]["code"]) == (403, "origin-not-allowed")
            assert "fleet_cors_origins" in json.dumps(stranger.json())
        answered = 1 + (told == "*")
        assert f'headrace_proxy_preflights_total{{service=""}} {answered}.0' in await world.metrics()


async def test_at_the_fleets_url_a_service_alone_decides_nothing(world: AppProxyWorld, signer: Signer) -> None:
    async with backend(engine) as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP)))
        url = f"{world.url}/v1/chat/completions"
        assert (await world.http.options(url, headers=ASKS)).status_code == 401
        bearer = {"Origin": APP, "Authorization": f"Bearer {signer.token(PROJECT)}"}
        answer = await world.http.post(url, json={"model": "chat"}, headers=bearer)
        assert answer.headers.get_list("access-control-allow-origin") == ["*"], "the engine's own"


async def test_preflights_of_an_address_are_bounded_and_its_requests_and_those_of_others_are_not(
    tmp_path: Path, signer: Signer
) -> None:
    trusted = {"trusted_peers": ["127.0.0.0/8"], "fleet_cors_origins": [APP], "max_preflights_per_s": 0.001}
    async with running(tmp_path / "data", **trusted) as world, backend(engine) as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP)))

        async def asks(address: str, path: str = "/chat/v1/x") -> httpx.Response:
            return await world.http.options(f"{world.url}{path}", headers=ASKS | {"X-Forwarded-For": address})

        assert (await asks("192.0.2.1")).status_code == 204
        for path in ("/chat/v1/x", "/v1/chat/completions"):
            refused = await asks("192.0.2.1", path)
            assert refused.status_code == 429
            assert "preflight-rate" in refused.text
            assert 900 < int(refused.headers["Retry-After"]) <= 1000
        bearer = {"Authorization": f"Bearer {signer.token(PROJECT)}", "X-Forwarded-For": "192.0.2.1"}
        assert (await world.http.get(f"{world.url}/chat/x", headers=bearer)).status_code == 200
        assert (await asks("192.0.2.2")).status_code == 204
        assert (await asks("2001:db8::1")).status_code == 204
        assert (await asks("2001:db8::2")).status_code == 429, "the same /64"
        for _ in range(3):  # the front itself
            assert (await world.http.options(f"{world.url}/chat/x", headers=ASKS)).status_code == 204
    async with running(tmp_path / "others", max_preflights_per_s=0.001) as world, backend(engine) as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP)))
        statuses = [(await world.http.options(f"{world.url}/chat/x", headers=ASKS)).status_code for _ in range(2)]
        assert statuses == [204, 429]


@pytest.mark.parametrize("others", [OTHER, APP])
async def test_a_request_with_two_origins_is_of_none(world: AppProxyWorld, signer: Signer, others: str) -> None:
    async with backend(engine) as replica:
        world.apply(closed(signer, replica.port, cors=allowing(APP)))
        two = f"Origin: {APP}\r\nORIGIN: {others}\r\n"
        for method, more, status in (
            ("OPTIONS", "Access-Control-Request-Method: POST\r\n", b"401"),
            ("GET", f"Authorization: Bearer {signer.token(PROJECT)}\r\n", b"200"),
        ):
            text = f"{method} /chat/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{two}{more}\r\n"
            told = (await raw_request(world.port, text.encode())).lower()
            assert told.split(b" ", 2)[1] == status
            assert b"access-control-" not in told
            assert b"vary: origin" in told
