"""Wiring of the autoscaler: the one file that constructs its parts.

`build` opens the outside resources (`Edges`), `make_autoscaler` constructs the parts on them; tests call
`make_autoscaler` too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from headrace.autoscaler.bus import serve
from headrace.autoscaler.domain.observation import AveragingWindow
from headrace.autoscaler.ingester import Ingester
from headrace.autoscaler.leases import Leases
from headrace.autoscaler.reconcile.report import Reporter
from headrace.autoscaler.reconcile.scale_requester import ScaleRequester
from headrace.autoscaler.reconcile.tick import Tick, TickContext
from headrace.autoscaler.records import ScalingRecords
from headrace.autoscaler.rule_tables import RuleTables
from headrace.autoscaler.settings import Settings, identity_file
from headrace.autoscaler.status_report import StatusReporter
from headrace.autoscaler.windows import Windows
from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.consume import LastValues
from headrace.common.bus.link import Link
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.readiness import AutoscalerCheck, ReadinessCheck
from headrace.common.joining.renewal import identity_loop, keep_identity
from headrace.common.runtime.clock import SYSTEM_CLOCKS, Clocks
from headrace.common.runtime.instance import this_instance
from headrace.common.runtime.loop import Loop
from headrace.common.runtime.redis_client import redis_client
from headrace.common.runtime.service import Task
from headrace.common.web.app import Check, WebServer, make_app

log = structlog.get_logger()
MAX_REDIS_CONNECTIONS: Final = 32
"""To Redis, at most: a tick's requests to scale (16 at once), its reads, and the flush of samples."""


def open_redis(settings: Settings) -> Redis:
    """Return a Redis client that connects on first use.

    A command answers or fails within `redis_timeout_s`, and is tried once more when its connection broke.
    """
    return redis_client(
        settings.redis_url.get_secret_value(),
        settings.ca_file,
        timeout_s=settings.redis_timeout_s,
        retries=1,
        connections=MAX_REDIS_CONNECTIONS,
        name=f"headrace-autoscaler-{settings.id}",
    )


@dataclass(frozen=True, slots=True)
class Edges:
    """Outside resources of an autoscaler: bus, Redis and clocks."""

    bus: Bus
    redis: Redis
    clocks: Clocks = SYSTEM_CLOCKS


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """Constructed autoscaler; `build` connects and runs it."""

    tables: RuleTables
    windows: Windows
    leases: Leases
    ingester: Ingester
    tick: Tick


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Sequence[Task]]:
    """Yield the autoscaler's tasks; on leaving, all leases are released and all connections closed.

    Starts without the bus and Redis: both are connected to when they answer.
    """
    async with AsyncExitStack() as stack:
        redis = open_redis(settings)
        stack.push_async_callback(redis.aclose)
        keep_identity(settings.nats_credentials, identity_file(settings))
        bus = Bus()
        stack.push_async_callback(bus.close)
        made = make_autoscaler(settings, Edges(bus, redis))
        stack.push_async_callback(_release, made.leases)
        rules = LastValues(bus, RuleTable, made.tables.deliver, forget=made.tables.forget)
        password = settings.nats_password.get_secret_value()
        login = Login(
            settings.nats_url,
            settings.nats_user,
            password,
            f"autoscaler-{settings.id}",
            credentials=identity_file(settings) or settings.nats_credentials,
            ca_file=settings.ca_file,
        )
        started_at = SYSTEM_CLOCKS.utc()
        reports = StatusReporter(
            settings.id,
            bus,
            redis,
            made.tables,
            made.leases,
            made.tick,
            instance=lambda stopping: this_instance(admin, started_at, stopping=stopping),
            clock=SYSTEM_CLOCKS.utc,
        )
        link = Link(bus, login, lambda: serve(bus, rules, made.ingester, connected=reports.poke))
        admin = _admin(settings, link, made.tick, rules)
        yield [
            admin,
            *identity_loop(
                settings.nats_credentials,
                identity_file(settings),
                settings.manager_urls,
                settings.ca_file,
                bus,
                SYSTEM_CLOCKS.utc,
            ),
            link,
            reports,
            Loop("flush", made.ingester.flush, every=timedelta(seconds=settings.flush_s)),
            Loop("tick", made.tick.one_pass, every=timedelta(seconds=settings.tick_s)),
        ]


def make_autoscaler(settings: Settings, edges: Edges) -> Autoscaler:
    """Return an autoscaler on these edges; it opens nothing."""
    bus, redis, clocks = edges.bus, edges.redis, edges.clocks
    averaging = AveragingWindow(timedelta(seconds=settings.window_s), timedelta(seconds=settings.freshness_s))
    tables, records = RuleTables(), ScalingRecords(redis)
    windows = Windows(redis, keep=max(averaging.length, averaging.freshness))
    leases = Leases(redis, length=timedelta(seconds=settings.lease_s), monotonic=clocks.monotonic)
    requester = ScaleRequester(bus, tables, records, ask_timeout=timedelta(seconds=settings.ask_timeout_s))
    reporter = Reporter(bus, every=timedelta(seconds=settings.report_s))
    tick = Tick(
        TickContext(tables, windows, leases, records, requester, reporter, clocks.utc),
        averaging=averaging,
        patience=timedelta(seconds=settings.patience_s),
    )
    return Autoscaler(tables, windows, leases, Ingester(tables, windows), tick)


def _admin(settings: Settings, link: Link, tick: Tick, rules: LastValues[RuleTable]) -> WebServer:
    checks: dict[ReadinessCheck, Check] = {
        AutoscalerCheck.BUS: link.check,
        AutoscalerCheck.RULES: lambda: None if rules.synced.is_set() else "the rule tables were not read yet",
        AutoscalerCheck.REDIS: lambda: tick.paused,
    }
    return WebServer(
        make_app(checks=checks), host=settings.admin_host, port=settings.admin_port, name="admin", drain_s=1.0
    )


async def _release(leases: Leases) -> None:
    try:
        await leases.release()
    except RedisError as error:
        log.warning("leases_not_released", why=str(error) or type(error).__name__)  # they expire by themselves
