"""Trace propagation: forwards a caller's trace to the replica; with the extra `otel` each request is a span of it
(otel.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from headrace.appproxy.dataplane.headers.rewrite import TRACEPARENT, TRACESTATE, ConsumedFields
from headrace.appproxy.dataplane.telemetry.traceparent import fields, is_canonical, parse

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.telemetry.otel import OtelTracing
    from headrace.appproxy.dataplane.telemetry.record import RequestRecord

CLOSE_S: Final = 5.0
"""Longest time to export the last spans at the end."""


class Tracer(ABC):
    """Tracing interface of the data plane."""

    traces = False
    """True if `begin` must be called for every request; else its result depends on the fields alone."""

    @abstractmethod
    def begin(self, record: RequestRecord, consumed: ConsumedFields) -> bytes:
        """Return the trace-context fields for the replica, each with its CRLF."""

    @abstractmethod
    def ended(self, trace: Any, record: RequestRecord) -> None:
        """End the trace of a request that `begin` returned."""

    @abstractmethod
    def close(self) -> None:
        """Export what is queued: blocks for up to CLOSE_S."""


class NoTracing(Tracer):
    """Tracer without spans: forwards a valid trace context, and creates none."""

    def begin(self, _record: RequestRecord, consumed: ConsumedFields) -> bytes:
        """Return the caller's own fields, if they are valid."""
        given = consumed.get(TRACEPARENT)
        if given is None:
            return b""
        if len(given) == 1 and TRACESTATE not in consumed and is_canonical(given[0]):
            return b"traceparent: " + given[0] + b"\r\n"
        parent = parse(given)
        return fields(parent, consumed.get(TRACESTATE, ())) if parent is not None else b""

    def ended(self, trace: Any, record: RequestRecord) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class SpanTracer(Tracer):
    """Tracer with a span per sampled request."""

    traces = True

    def __init__(self, tracing: OtelTracing) -> None:
        self._tracing = tracing

    def begin(self, record: RequestRecord, consumed: ConsumedFields) -> bytes:
        """Start a span, if the request is sampled, and return the trace-context fields for the replica."""
        record.trace, sent = self._tracing.begin(consumed.get(TRACEPARENT, ()), consumed.get(TRACESTATE, ()))
        return sent

    def ended(self, trace: Any, record: RequestRecord) -> None:
        """End the span."""
        self._tracing.ended(trace, record)

    def close(self) -> None:
        """Export what is queued."""
        self._tracing.close(CLOSE_S)
