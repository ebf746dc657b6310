"""Spans of proxied requests reach a collector; replicas are told of them; callers' secrets stay out of both."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.settings import Settings
from tests.support.factories.route_tables import Signer, route, table
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend, raw_backend, running

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[Any]]]:
    """An OTLP/HTTP collector: its endpoint, and the spans that came."""
    spans: list[Any] = []

    async def receive(request: web.Request) -> web.StreamResponse:
        assert request.path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return web.Response()

    async with backend(receive) as state:
        yield f"http://127.0.0.1:{state.port}/v1/traces", spans


@asynccontextmanager
async def traced(folder: Path, *, share: float) -> AsyncIterator[tuple[AppProxyWorld, Backend, list[Any]]]:
    """A proxy that traces. The last spans come when it stops, so look at them after the block."""
    async with (
        collector() as (endpoint, spans),
        backend() as replica,
        running(folder, otel_endpoint=endpoint, otel_share=share, domain="models.test", access_log_share=0) as world,
    ):
        world.apply(table("chat", routes=(route(port=replica.port),)))
        yield world, replica, spans


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


async def test_a_request_of_a_trace_is_a_span_of_it(tmp_path: Path) -> None:
    signer = Signer()
    async with collector() as (endpoint, spans), backend() as replica:
        async with running(tmp_path, otel_endpoint=endpoint, otel_share=0.0, domain="models.test") as world:
            private = table(
                "chat", open_to_public=False, token_keys=(signer.public,), routes=(route(7, port=replica.port),)
            )
            world.apply(private)
            token = signer.token(private.service_id)
            got = await world.http.post(
                f"{world.url}/chat/v1/embeddings?api_key=query-secret",
                headers={
                    "Authorization": f"Bearer {token}",
                    "traceparent": SAMPLED,
                    "tracestate": "a=1",
                    "Cookie": "c=cookie-secret",
                },
                content=b"body-secret",
            )
            assert got.status_code == 200
            assert not spans, "nothing is sent while a request waits for it"
        (span,) = spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert span.name == "POST /v1/embeddings"
    told = attributes(span)
    assert told["headrace.service"] == "chat"
    assert told["headrace.replica"] == str(route(7).session_id)
    assert told["headrace.revision"] == str(route(7).revision_id)
    assert told["http.response.status_code"] == 200
    assert told["server.address"] == "models.test"
    (seen,) = replica.seen
    assert seen.headers["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert seen.headers["tracestate"] == "a=1"
    for secret in ("secret", token, token.partition(".")[0], "127.0.0.1"):
        assert secret not in str(span)


async def test_without_a_trace_of_its_own_chance_decides(tmp_path: Path) -> None:
    async with traced(tmp_path / "all", share=1.0) as (world, replica, spans):
        await world.http.get(f"{world.url}/chat/x")
    (span,) = spans
    assert not span.parent_span_id
    assert replica.seen[0].headers["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    async with traced(tmp_path / "none", share=0.0) as (world, replica, spans):
        await world.http.get(f"{world.url}/chat/x")
    assert replica.seen[0].headers["traceparent"].endswith("-00"), "the replica decides no otherwise"
    assert not spans


async def test_what_is_not_sampled_is_passed_on_as_it_came(tmp_path: Path) -> None:
    async with traced(tmp_path, share=1.0) as (world, replica, spans):
        for _ in range(2):
            await world.http.get(f"{world.url}/chat/x", headers={"traceparent": UNSAMPLED, "tracestate": "a=1,b=2"})
    assert [r.headers["traceparent"] for r in replica.seen] == [UNSAMPLED, UNSAMPLED]
    assert [r.headers["tracestate"] for r in replica.seen] == ["a=1,b=2", "a=1,b=2"]
    assert not spans


async def test_without_a_collector_a_trace_is_passed_on_as_it_came(world: AppProxyWorld) -> None:
    async with backend() as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        for given in (SAMPLED, "nonsense"):
            await world.http.get(f"{world.url}/chat/x", headers={"traceparent": given})
        await world.http.get(f"{world.url}/chat/x")
    assert [r.headers.get("traceparent") for r in replica.seen] == [SAMPLED, None, None]


async def test_each_request_of_a_connection_is_a_span(tmp_path: Path) -> None:
    async with traced(tmp_path, share=1.0) as (world, replica, spans):
        for _ in range(5):
            await world.http.get(f"{world.url}/chat/x", headers={"traceparent": SAMPLED})
        await world.http.get(f"{world.url}/nobody/x", headers={"traceparent": SAMPLED})
    served = [span for span in spans if attributes(span)["http.response.status_code"] == 200]
    assert {f"00-{TRACE}-{span.span_id.hex()}-01" for span in served} == {
        r.headers["traceparent"] for r in replica.seen
    }
    assert len(served) == len(replica.seen) == 5


async def test_a_failure_is_told(tmp_path: Path) -> None:
    async with collector() as (endpoint, spans):

        async def nothing(_reader: Any, _writer: Any, _n: int) -> None:
            return

        async with raw_backend(nothing) as replica, running(tmp_path, otel_endpoint=endpoint, otel_share=1.0) as world:
            world.apply(table("chat", routes=(route(port=replica.port),)))
            assert (await world.http.post(f"{world.url}/chat/x", content=b"x")).status_code == 502
        (span,) = spans
    assert (span.status.code, attributes(span)["error.type"]) == (2, "connection-lost")


async def test_a_collector_that_is_away_or_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.appproxy.dataplane.telemetry.tracing.CLOSE_S", 0.2)
    monkeypatch.setattr("headrace.appproxy.dataplane.telemetry.otel.EXPORT_TIMEOUT_S", 300.0)

    async def hang(reader: Any, _writer: Any, _n: int) -> None:
        await reader.read()

    async with raw_backend(hang) as hanging, backend() as replica:
        for port in (1, hanging.port):
            endpoint = f"http://127.0.0.1:{port}/v1/traces"
            async with (
                asyncio.timeout(60),
                running(tmp_path / str(port), otel_endpoint=endpoint, otel_share=1.0) as world,
            ):
                world.apply(table("chat", routes=(route(port=replica.port),)))
                assert (await world.http.get(f"{world.url}/chat/x")).status_code == 200
        assert hanging.heads, "it was asked, and has not answered yet"


async def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "headrace.appproxy.dataplane.telemetry.otel", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    settings = Settings(data_dir=tmp_path, otel_endpoint="http://127.0.0.1:4318/v1/traces")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'headrace\[otel\]'"):
        build_data_plane(settings, RouteTables(), notify=lambda: None)
    build_data_plane(Settings(data_dir=tmp_path), RouteTables(), notify=lambda: None)  # nobody else needs it
