"""Wiring of the autoscaler: the one file that constructs its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
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
from headrace.autoscaler.settings import Settings
from headrace.autoscaler.windows import Windows
from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.consume import LastValues
from headrace.common.bus.link import Link
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.runtime.clock import Clock, utc_now
from headrace.common.runtime.loop import Loop
from headrace.common.runtime.service import Task
from headrace.common.web.app import WebServer, make_app

log = structlog.get_logger()


def open_redis(settings: Settings) -> Redis:
    """Return a Redis client that connects on first use.

    A command answers or fails within `redis_timeout_s`, and is tried once more when its connection broke.
    """
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        protocol=2,
        socket_timeout=settings.redis_timeout_s,
        socket_connect_timeout=settings.redis_timeout_s,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=0,
        client_name=f"headrace-autoscaler-{settings.id}",
    )


@asynccontextmanager
async def build(settings: Settings, *, clock: Clock = utc_now) -> AsyncIterator[Sequence[Task]]:
    """Yield the autoscaler's tasks; on leaving, all leases are released and all connections closed.

    Starts without the bus and Redis: both are connected to when they answer.
    """
    async with AsyncExitStack() as stack:
        redis = open_redis(settings)
        stack.push_async_callback(redis.aclose)
        bus = Bus()
        stack.push_async_callback(bus.close)
        averaging = AveragingWindow(timedelta(seconds=settings.window_s), timedelta(seconds=settings.freshness_s))
        tables, records = RuleTables(), ScalingRecords(redis)
        windows = Windows(redis, keep=max(averaging.length, averaging.freshness))
        leases = Leases(redis, length=timedelta(seconds=settings.lease_s))
        stack.push_async_callback(_release, leases)
        requester = ScaleRequester(bus, tables, records, ask_timeout=timedelta(seconds=settings.ask_timeout_s))
        reporter = Reporter(bus, every=timedelta(seconds=settings.report_s))
        tick = Tick(
            TickContext(tables, windows, leases, records, requester, reporter, clock),
            averaging=averaging,
            patience=timedelta(seconds=settings.patience_s),
        )
        ingester = Ingester(tables, windows)
        rules = LastValues(bus, RuleTable, tables.deliver, forget=tables.forget)
        password = settings.nats_password.get_secret_value()
        login = Login(settings.nats_url, settings.nats_user, password, f"autoscaler-{settings.id}")
        link = Link(bus, login, lambda: serve(bus, rules, ingester))
        yield [
            _admin(settings, link, tick, rules),
            link,
            Loop("flush", ingester.flush, every=timedelta(seconds=settings.flush_s)),
            Loop("tick", tick.one_pass, every=timedelta(seconds=settings.tick_s)),
        ]


def _admin(settings: Settings, link: Link, tick: Tick, rules: LastValues[RuleTable]) -> WebServer:
    checks = {
        "bus": link.check,
        "rules": lambda: None if rules.synced.is_set() else "the rule tables were not read yet",
        "redis": lambda: tick.paused,
    }
    return WebServer(
        make_app(checks=checks), host=settings.admin_host, port=settings.admin_port, name="admin", drain_s=1.0
    )


async def _release(leases: Leases) -> None:
    try:
        await leases.release()
    except RedisError as error:
        log.warning("leases_left", why=str(error) or type(error).__name__)  # they expire by themselves
