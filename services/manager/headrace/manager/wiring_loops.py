"""Wiring of the manager's loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.messages.traffic import WINDOW_S
from headrace.common.runtime.loop import Loop
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.inbox.kernel_samples import KernelSamples
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.counting import CountingLoop
from headrace.manager.loops.definitions import DefinitionsLoop
from headrace.manager.loops.drains import DrainsLoop
from headrace.manager.loops.housekeeping import HousekeepingLoop, Retention
from headrace.manager.loops.live_changes import LiveChangesLoop
from headrace.manager.loops.measuring import MeasuringLoop
from headrace.manager.loops.metric_history import MetricHistoryLoop
from headrace.manager.loops.placement import PlacementLoop
from headrace.manager.loops.pokes import LoopPokes
from headrace.manager.loops.publishing import PublishingLoop
from headrace.manager.loops.receipts import ReceiptsLoop
from headrace.manager.loops.revocations import RevocationsLoop
from headrace.manager.loops.runner import LoopRunner
from headrace.manager.loops.secrets import SecretsLoop
from headrace.manager.loops.services import ServicesLoop
from headrace.manager.loops.snapshots import SnapshotsLoop
from headrace.manager.loops.trash import TrashLoop
from headrace.manager.loops.webhooks import WebhooksLoop
from headrace.manager.settings import Settings, webhook_policy
from headrace.manager.sources.web import web_context
from headrace.manager.sources.webhook_sender import KeptContext, open_webhook_sender
from headrace.manager.store import tables
from headrace.manager.usecases.definition_reader import DefinitionReader
from headrace.manager.usecases.followers import Followers
from headrace.manager.usecases.parsing import ParserPool
from headrace.manager.usecases.ports import LoopName
from headrace.manager.wiring_edges import Edges
from headrace.manager.wiring_sources import secret_keys

AGENTS_EVERY = timedelta(seconds=0.5)
"""A lost machine must be replaced within 10 s, of which `lost_after` takes most."""
HOUSEKEEPING_EVERY = timedelta(minutes=1)
COUNTING_EVERY = timedelta(seconds=10)
METRIC_HISTORY_EVERY = timedelta(seconds=WINDOW_S)
SNAPSHOTS_EVERY = timedelta(minutes=5)
DEFINITIONS_EVERY = timedelta(seconds=1)
WEBHOOKS_EVERY = timedelta(seconds=1)
LIVE_CHANGES_EVERY = timedelta(seconds=0.25)
"""A thing is told of once a pass, so at most four times a second."""
REST = 1.0
"""A loop that is poked all the time works at most half of the time, so that pokes meanwhile are handled in one pass."""


def make_loops(
    settings: Settings,
    edges: Edges,
    proxies: AppProxyReports,
    agents: AgentLiveness,
    authority: BusAuthority,
    pokes: LoopPokes,
    followers: Followers,
    samples: KernelSamples,
) -> LoopRunner:
    """Return the runner of all loops but those that import model URIs and tell of this process."""
    pool, bus, clock, monotonic = edges.pool, edges.bus, edges.clocks.utc, edges.clocks.monotonic
    every, verify = settings.reconcile_every, settings.verify_every
    kept = Retention(
        sessions=settings.forget_sessions_after,
        errors=settings.forget_errors_after,
        receipts=settings.forget_receipts_after,
        events=settings.forget_events_after,
        deleted=settings.forget_deleted_after,
        usage=settings.forget_usage_after,
        usage_hours=settings.usage_hours_kept,
    )

    keys = secret_keys(settings)
    services = ServicesLoop(pool, proxies, clock, pokes.poke, every=every)
    plans = PublishingLoop(pool, bus, NodePlan, tables.Plans(keys), verify=verify, monotonic=monotonic)
    rules = PublishingLoop(pool, bus, RuleTable, tables.Rules(), verify=verify, monotonic=monotonic)
    routes = PublishingLoop(
        pool, bus, RouteTable, tables.Routes(), verify=verify, monotonic=monotonic, claimed=proxies.claimed
    )
    measuring = MeasuringLoop(
        pool, edges.storage, pokes.poke, every=settings.measure_folders_every, monotonic=monotonic
    )
    definitions = DefinitionReader(
        pool, edges.storage, ParserPool()
    )  # with threads of its own beside those of requests
    revocations = RevocationsLoop(
        pool, bus, authority, pokes.poke, url=settings.nats_url, ca_file=settings.ca_file, monotonic=monotonic
    )
    live = LiveChangesLoop(pool, followers, idle=settings.login_idle, monotonic=monotonic)
    sender = partial(open_webhook_sender, webhook_policy(settings), KeptContext(partial(web_context, settings.ca_file)))
    hooks = WebhooksLoop(pool, keys, sender, pokes.poke, clock, monotonic)
    passes: dict[LoopName, Callable[[], Awaitable[None]]] = {
        "services": services.one_pass,
        "placement": PlacementLoop(pool, clock, pokes.poke).one_pass,
        "plans": plans.one_pass,
        "routes": routes.one_pass,
        "rules": rules.one_pass,
        "agents": agents.one_pass,
        "receipts": ReceiptsLoop(pool, proxies, clock).one_pass,
        "drains": DrainsLoop(pool, clock, pokes.poke).one_pass,
        "revocations": revocations.one_pass,
        "housekeeping": HousekeepingLoop(pool, pokes.poke, kept).one_pass,
        "secrets": SecretsLoop(pool, keys).one_pass,
        "measuring": measuring.one_pass,
        "definitions": DefinitionsLoop(definitions, pokes.poke, monotonic=monotonic).one_pass,
        "snapshots": SnapshotsLoop(pool, edges.storage).one_pass,
        "live-changes": live.one_pass,
        "trash": TrashLoop(pool, edges.storage, kept_for=settings.trash_kept_for).one_pass,
        "webhooks": hooks.one_pass,
        "counting": CountingLoop(pool).one_pass,
        "metric-history": MetricHistoryLoop(pool, samples, clock).one_pass,
    }
    periods: dict[LoopName, timedelta] = {
        "agents": min(every, AGENTS_EVERY),
        "housekeeping": HOUSEKEEPING_EVERY,
        "measuring": HOUSEKEEPING_EVERY,
        "definitions": DEFINITIONS_EVERY,
        "secrets": HOUSEKEEPING_EVERY,
        "snapshots": SNAPSHOTS_EVERY,
        "live-changes": LIVE_CHANGES_EVERY,
        "trash": HOUSEKEEPING_EVERY,
        "webhooks": WEBHOOKS_EVERY,
        "counting": COUNTING_EVERY,
        "metric-history": METRIC_HISTORY_EVERY,
    }
    return LoopRunner(
        [
            Loop(
                name, one_pass, every=periods.get(name, every), rest=REST, poked=pokes.event(name), monotonic=monotonic
            )
            for name, one_pass in passes.items()
        ],
        monotonic=monotonic,
    )
