"""Composition root of a worker's data plane."""

from __future__ import annotations

import random
from collections.abc import Callable

from headrace.appproxy.dataplane.auth.authenticator import Authenticator
from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.balancing.registry import BackendRegistry
from headrace.appproxy.dataplane.headers.cors import policy_of
from headrace.appproxy.dataplane.http1.heads import HeadLimits
from headrace.appproxy.dataplane.http1.write_coalescer import WriteCoalescer
from headrace.appproxy.dataplane.ratelimit.address_rate import AddressRate
from headrace.appproxy.dataplane.ratelimit.limiter import RateLimiter
from headrace.appproxy.dataplane.request.context import HeldBodies, RequestIds, WorkerContext
from headrace.appproxy.dataplane.request.downstream import Downstreams
from headrace.appproxy.dataplane.request.exchange import OpenRequests
from headrace.appproxy.dataplane.request.ingress import Ingress
from headrace.appproxy.dataplane.request.limits import ProxyLimits
from headrace.appproxy.dataplane.route_table import RouteEntry, RouteTables
from headrace.appproxy.dataplane.server import DataPlane
from headrace.appproxy.dataplane.telemetry.access_log import AccessLog
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats, StatsRegistry
from headrace.appproxy.dataplane.telemetry.tracing import NoTracing, SpanTracer, Tracer
from headrace.appproxy.dataplane.telemetry.usage import UsageMeter
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.appproxy.settings import Settings
from headrace.common.contracts.cors import Cors
from headrace.common.contracts.messages.routes import Route
from headrace.common.runtime.clock import SYSTEM_CLOCKS, Clocks


def build_data_plane(
    settings: Settings,
    tables: RouteTables,
    *,
    notify: Callable[[], None],
    workers: int = 1,
    clocks: Clocks = SYSTEM_CLOCKS,
) -> DataPlane:
    """Build a data plane on the running event loop. `notify`: called at changes that other parts wait for.

    `workers`: number of data planes that serve the same callers, each with its part of the limits where there is no
    Redis. Raises ModuleNotFoundError if spans are configured and the extra `otel` is not installed.
    """
    now = clocks.monotonic  # the event loop's own clock has a resolution of a millisecond
    chance = random.random  # load balancing and log sampling need no secrecy
    stats = StatsRegistry()
    coalescer = WriteCoalescer()
    head_limits = HeadLimits(
        line_bytes=settings.max_line_bytes,
        field_bytes=settings.max_header_bytes,
        head_bytes=settings.max_head_bytes,
        fields=settings.max_headers,
    )

    def replica(route: Route, stats: ReplicaStats) -> Replica:
        return Replica(
            route,
            stats,
            head_limits,
            coalescer,
            clocks=clocks,
            connect_s=settings.connect_timeout_s,
            user_timeout_s=settings.replica_tcp_user_timeout_s,
        )

    def backend(entry: RouteEntry) -> Backend:
        return Backend(entry, stats=stats, make=replica, retire=backends.retire, notify=notify, chance=chance, now=now)

    backends = BackendRegistry(tables, backend)
    context = WorkerContext(
        proxy_limits=ProxyLimits(settings),
        backends=backends,
        authenticator=Authenticator(remembered=settings.remembered_tokens),
        rate_limiter=RateLimiter(
            settings.redis_url.get_secret_value(),
            ca_file=settings.ca_file,
            divided_by=workers,
            timeout_s=settings.redis_timeout_s,
            clock=now,
            wall=clocks.epoch,
        ),
        stats=stats,
        usage=UsageMeter(now, clocks.epoch),
        tracer=_tracer(settings),
        access_log=AccessLog(
            share=settings.access_log_share,
            most_per_s=settings.error_log_lines_per_s,
            chance=chance,
            now=now,
        ),
        now=now,
        epoch=clocks.epoch,
        new_request_id=RequestIds().new,
        head_limits=head_limits,
        coalescer=coalescer,
        held_bodies=HeldBodies(most=settings.max_held_body_bytes),
        openai_cors=policy_of(Cors(allow_origins=settings.fleet_cors_origins)),
        preflights=AddressRate(settings.max_preflights_per_s, divided_by=workers, clock=now),
    )
    requests = OpenRequests()
    downstreams = Downstreams(
        context,
        Ingress(requests),
        most=settings.max_connections,
        most_per_address=settings.max_connections_per_address,
    )
    backends.load(now())
    return DataPlane(context, backends, requests, downstreams)


def _tracer(settings: Settings) -> Tracer:
    if not settings.otel_endpoint:
        return NoTracing()
    from headrace.appproxy.dataplane.telemetry.otel import OtelTracing  # noqa: PLC0415 - an extra, and slow to load

    return SpanTracer(
        OtelTracing(endpoint=settings.otel_endpoint, share=settings.otel_share, server_address=settings.domain or "")
    )
