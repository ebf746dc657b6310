"""OpenTelemetry spans of requests, sent to a collector (OTLP over HTTP). Imported only where that is configured.

Needs the extra `otel`; importing this without it raises ModuleNotFoundError, which says so.

Names follow OpenTelemetry's semantic conventions for HTTP servers. No header, query, credential, caller's address or content
becomes part of a span. Whether a request is traced is its parent's decision where it has one, else chance's; a request that is
not traced says so to its replica, lest the replica decide otherwise. Sending never holds a request up: spans wait in a bounded
queue for a thread of the SDK, and those that do not fit are dropped.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from headrace.appproxy.dataplane.telemetry.traceparent import SAMPLED, TraceParent, fields, parse

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("tracing needs OpenTelemetry: pip install 'headrace[otel]'") from missing

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
ROUTES: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/v1/models",
        "/v1/rerank",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
        "/v1/images/generations",
        "/generate",
        "/health",
    }
)
"""Paths used in span names; all others are `/*`, since the number of names must be small."""
_MAX_PATH = 512
EXPORT_TIMEOUT_S = 5.0


class SpanAttributes(Protocol):
    """Span attributes of one request. Empty strings and None are left out."""

    status: int
    reason: str
    broken: str
    retries: int
    queued_s: float | None
    first_byte_s: float | None

    @property
    def method(self) -> str:
        """Request method."""

    @property
    def path(self) -> str:
        """Request path, without the query."""

    @property
    def service(self) -> str:
        """Service name."""

    @property
    def replica_key(self) -> str:
        """Session id of the last replica."""

    @property
    def revision(self) -> str:
        """Revision id of the last replica."""

    @property
    def tokens(self) -> tuple[int | None, int | None, int | None]:
        """Prompt, completion and total tokens, as far as the response has them."""


class OtelTracing:
    """OpenTelemetry tracer: a span per sampled request.

    endpoint: for example http://127.0.0.1:4318/v1/traces. share: sampled part of the requests without a trace context.
    server_address: this proxy's public name. chance: returns numbers in [0, 1).
    """

    def __init__(
        self,
        *,
        endpoint: str,
        share: float,
        server_address: str,
        chance: Callable[[], float] = random.random,
        queue: int = 2048,
        send_every_s: float = 5.0,
    ) -> None:
        self._share = share
        self._chance = chance
        self._address = server_address
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # only sampled spans get here
            resource=Resource.create({"service.name": "headrace-appproxy"}),
            shutdown_on_exit=False,
        )
        self._processor = BatchSpanProcessor(
            OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S),
            max_queue_size=queue,
            max_export_batch_size=min(512, queue),
            schedule_delay_millis=send_every_s * 1000,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("headrace.appproxy")

    def begin(self, parents: Sequence[bytes], states: Sequence[bytes]) -> tuple[trace.Span | None, bytes]:
        """Start the span of a request (None if it is not sampled), and return it with the fields for its replica.

        parents, states: the `traceparent` and `tracestate` fields of the request.
        """
        parent = parse(parents)
        if parent is None:
            states = ()
        if not (parent.sampled if parent is not None else self._chance() < self._share):
            return None, fields(parent or self._untraced(), states)
        context = Context()
        if parent is not None:
            came_from = trace.SpanContext(
                int(parent.trace_id, 16),
                int(parent.span_id, 16),
                is_remote=True,
                trace_flags=trace.TraceFlags(parent.flags),
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(came_from), context)
        span = self._tracer.start_span("HTTP", context, kind=trace.SpanKind.SERVER)
        own = span.get_span_context()
        return span, fields(TraceParent(b"%032x" % own.trace_id, b"%016x" % own.span_id, SAMPLED), states)

    @staticmethod
    def _untraced() -> TraceParent:
        # Ids need no secrecy; 1 is added because zero is no valid id.
        return TraceParent(b"%032x" % (random.getrandbits(127) + 1), b"%016x" % (random.getrandbits(63) + 1), 0)

    def ended(self, span: trace.Span, request: SpanAttributes) -> None:
        """End the span that `begin` started."""
        method = request.method if request.method in _METHODS else "_OTHER"
        route = route_of(request.path, request.service)
        span.update_name(f"{method if method != '_OTHER' else 'HTTP'} {route}")
        prompt, completion, _ = request.tokens
        said = {
            "http.request.method": method,
            "http.route": route,
            "url.path": request.path.partition("?")[0][:_MAX_PATH],
            "url.scheme": "http",
            "http.response.status_code": request.status or None,
            "server.address": self._address,
            "error.type": request.broken or request.reason or (str(request.status) if request.status >= 500 else None),
            "headrace.service": request.service,
            "headrace.replica": request.replica_key,
            "headrace.revision": request.revision,
            "headrace.retries": request.retries,
            "headrace.queue_seconds": request.queued_s,
            "headrace.first_byte_seconds": request.first_byte_s,
            "gen_ai.usage.input_tokens": prompt,
            "gen_ai.usage.output_tokens": completion,
        }
        span.set_attributes({name: value for name, value in said.items() if value is not None and value != ""})
        if request.status >= 500 or request.broken:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    def close(self, timeout_s: float = 5.0) -> None:
        """Export the queued spans, for at most `timeout_s`, and shut down. Blocks: call it in a thread."""
        # The SDK has no time-out for this, and retries for up to EXPORT_TIMEOUT_S per batch.
        ending = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        ending.start()
        ending.join(timeout_s)


def route_of(path: str, service: str) -> str:
    """Return the path below the service's prefix if it is one of ROUTES, else `/*`: a closed set of values, whatever
    callers request.
    """
    plain = path.partition("?")[0]
    plain = plain.removeprefix(f"/{service}") if service and plain.startswith(f"/{service}/") else plain
    return plain if plain in ROUTES else "/*"
