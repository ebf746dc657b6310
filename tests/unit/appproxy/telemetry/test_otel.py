"""Spans reach a real OTLP receiver with what they may tell and nothing else, and replicas get the child's id."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.appproxy.dataplane.telemetry.otel import OtelTracing, route_of
from headrace.appproxy.dataplane.telemetry.traceparent import parse

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


@dataclass
class Request:
    status: int = 200
    reason: str = ""
    broken: str = ""
    retries: int = 1
    queued_s: float | None = 0.25
    first_byte_s: float | None = 0.5
    method: str = "POST"
    path: str = "/chat/v1/chat/completions?api_key=secret"
    service: str = "chat"
    replica_key: str = "replica-1"
    revision: str = "revision-1"
    tokens: tuple[int | None, int | None, int | None] = (None, None, None)


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP/HTTP receiver: its endpoint, and the spans that came."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
        finally:
            server.shutdown()
            thread.join()


def traced(endpoint: str, share: float = 1.0) -> OtelTracing:
    return OtelTracing(endpoint=endpoint, share=share, server_address="models.example.com", chance=lambda: 0.5)


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def parent_told(fields: bytes) -> tuple[bytes, bytes, int]:
    name, _, value = fields.split(b"\r\n")[0].partition(b": ")
    parent = parse([value])
    assert name == b"traceparent"
    assert parent is not None
    return parent


def test_a_span_tells_of_its_request() -> None:
    with receiver() as (endpoint, spans):
        tracing = traced(endpoint)
        span, fields = tracing.begin([b"00-" + TRACE + b"-" + SPAN + b"-01"], [b"a=1", b"b=2"])
        assert span is not None
        tracing.ended(span, Request(tokens=(11, 7, 18)))
        tracing.close()
        (sent,) = spans
        trace_id, span_id, flags = parent_told(fields)
        assert fields.endswith(b"\r\ntracestate: a=1,b=2\r\n")
        assert (trace_id, flags) == (TRACE, 1)
        assert (sent.trace_id.hex().encode(), sent.span_id.hex().encode()) == (trace_id, span_id)
        assert sent.parent_span_id.hex().encode() == SPAN
        assert (sent.name, sent.kind, sent.status.code) == ("POST /v1/chat/completions", 2, 0)
        assert sent.end_time_unix_nano >= sent.start_time_unix_nano > 0
        assert attributes(sent) == {
            "http.request.method": "POST",
            "http.route": "/v1/chat/completions",
            "url.path": "/chat/v1/chat/completions",
            "url.scheme": "http",
            "http.response.status_code": 200,
            "server.address": "models.example.com",
            "headrace.service": "chat",
            "headrace.replica": "replica-1",
            "headrace.revision": "revision-1",
            "headrace.retries": 1,
            "headrace.queue_seconds": 0.25,
            "headrace.first_byte_seconds": 0.5,
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 7,
        }
        assert "secret" not in str(sent)


def test_failures_are_marked() -> None:
    with receiver() as (endpoint, spans):
        tracing = traced(endpoint)
        for request in (
            Request(status=503, reason="all-unhealthy"),
            Request(broken="idle-timeout"),
            Request(status=404),
            Request(status=0),
        ):
            span, _ = tracing.begin([], [])
            assert span is not None
            tracing.ended(span, request)
        tracing.close()
        told = [
            (s.status.code, attributes(s).get("error.type"), attributes(s).get("http.response.status_code"))
            for s in spans
        ]
        assert told == [(2, "all-unhealthy", 503), (2, "idle-timeout", 200), (0, None, 404), (0, None, None)]
        assert len({s.trace_id for s in spans}) == 4


@pytest.mark.parametrize(
    ("parents", "share", "is_traced"),
    [
        ([], 0.6, True),
        ([], 0.4, False),
        ([b"nonsense"], 0.6, True),
        ([b"00-" + TRACE + b"-" + SPAN + b"-01"], 0.0, True),
        ([b"00-" + TRACE + b"-" + SPAN + b"-00"], 1.0, False),
    ],
)
def test_the_parent_decides_else_chance(parents: list[bytes], share: float, is_traced: bool) -> None:  # noqa: FBT001
    with receiver() as (endpoint, spans):
        tracing = traced(endpoint, share)
        span, fields = tracing.begin(parents, [b"a=1"])
        assert (span is not None) == is_traced == bool(parent_told(fields)[2])
        if span is None and parents:
            assert parent_told(fields)[:2] == (TRACE, SPAN)
        assert (b"tracestate" in fields) == (TRACE in fields)
        if span is not None:
            tracing.ended(span, Request())
        tracing.close()
        assert len(spans) == is_traced


def test_a_queue_that_is_full_drops_spans() -> None:
    with receiver() as (endpoint, spans):
        tracing = OtelTracing(endpoint=endpoint, share=1.0, server_address="x", queue=4, send_every_s=60.0)
        for _ in range(1000):
            span, _ = tracing.begin([], [])
            assert span is not None
            tracing.ended(span, Request())
        assert len(tracing._processor._batch_processor._queue) <= 4
        tracing.close()
        assert 4 <= len(spans) <= 1000


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/chat/v1/models?x", "/v1/models"),
        ("/v1/embeddings", "/v1/embeddings"),
        ("/chat/secret/17", "/*"),
        ("/chatter/health", "/*"),
        ("/chat", "/*"),
        ("", "/*"),
    ],
)
def test_names_come_from_a_closed_set(path: str, route: str) -> None:
    assert route_of(path, "chat") == route
