"""Builds a worker's data plane out of its parts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from headrace.appproxy.access_log import AccessLog
from headrace.appproxy.callers import Gate
from headrace.appproxy.domain.cors import policy_of
from headrace.appproxy.framing.heads import HeadLimits
from headrace.appproxy.limits import CallerLimits
from headrace.appproxy.limits.addresses import AddressRate
from headrace.appproxy.plane import DataPlane
from headrace.appproxy.sending import Outbox
from headrace.appproxy.serving import Serving
from headrace.appproxy.servings import Servings
from headrace.appproxy.settings import Settings
from headrace.appproxy.stats import ReplicaStats, StatsBook
from headrace.appproxy.table import Entry, Tables
from headrace.appproxy.tracing import NoTracing, Spans, Tracer
from headrace.appproxy.traffic.bounds import Bounds
from headrace.appproxy.traffic.parts import Callers, HeldBodies, Parts, RequestIds
from headrace.appproxy.upstream.replica import Replica
from headrace.common.contracts.cors import Cors
from headrace.common.contracts.messages.routes import Route


def build_plane(settings: Settings, tables: Tables, *, notify: Callable[[], None], workers: int = 1) -> DataPlane:
    """Return a data plane for the running event loop. `notify`: called when something happened that others wait for.

    `workers`: how many planes serve the same callers, each its part of their limits where there is no Redis.
    Raises ModuleNotFoundError where spans are wanted and the extra `otel` is not installed.
    """
    now = time.monotonic  # the event loop's own clock has steps of a millisecond
    chance = random.random  # choosing replicas and log samples needs no secrecy
    book = StatsBook()
    outbox = Outbox()
    head_limits = HeadLimits(
        line_bytes=settings.max_line_bytes, field_bytes=settings.max_header_bytes, head_bytes=settings.max_head_bytes,
        fields=settings.max_headers,
    )  # fmt: skip

    def replica(route: Route, stats: ReplicaStats) -> Replica:
        return Replica(route, stats, head_limits, outbox, connect_s=settings.connect_timeout_s)

    def serving(entry: Entry) -> Serving:
        return Serving(entry, book=book, make=replica, let_go=servings.let_go, notify=notify, chance=chance, now=now)

    servings = Servings(tables, serving)
    parts = Parts(
        bounds=Bounds(settings),
        servings=servings,
        gate=Gate(remembered=settings.remembered_tokens),
        limits=CallerLimits(
            settings.redis_url.get_secret_value(), divided_by=workers, timeout_s=settings.redis_timeout_s
        ),
        book=book,
        tracer=_tracer(settings),
        log=AccessLog(
            share=settings.access_log_share,
            most_per_s=settings.error_log_lines_per_s,
            chance=chance,
            now=time.monotonic,
        ),
        now=now,
        epoch=time.time,
        new_id=RequestIds().new,
        head_limits=head_limits,
        outbox=outbox,
        held=HeldBodies(most=settings.max_held_body_bytes),
        fleet_cors=policy_of(Cors(allow_origins=settings.fleet_cors_origins)),
        preflights=AddressRate(settings.max_preflights_per_s, divided_by=workers),
        callers=Callers(most=settings.max_connections, most_per_address=settings.max_connections_per_address),
    )
    servings.load(now())
    return DataPlane(parts, servings)


def _tracer(settings: Settings) -> Tracer:
    if not settings.otel_endpoint:
        return NoTracing()
    from headrace.appproxy.otel_tracing import OtelTracing  # noqa: PLC0415 - an extra, and slow to load

    return Spans(
        OtelTracing(endpoint=settings.otel_endpoint, share=settings.otel_share, server_address=settings.domain or "")
    )
