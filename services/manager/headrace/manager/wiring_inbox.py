"""Wiring of what the manager hears on the bus."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.inbox.bus import BusInbox
from headrace.manager.inbox.instances import HeardInstances
from headrace.manager.inbox.kernel_samples import KernelSamples
from headrace.manager.inbox.reports import NodeReports
from headrace.manager.inbox.rule_outcomes import LastRuleOutcomes
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.pokes import LoopPokes
from headrace.manager.settings import Settings, address_policy, bus_login
from headrace.manager.usecases.facade import UseCases
from headrace.manager.usecases.scaling import Scaling
from headrace.manager.wiring_edges import Edges


@dataclass(frozen=True, slots=True)
class InboxParts:
    """What is kept in memory of messages."""

    proxies: AppProxyReports
    outcomes: LastRuleOutcomes
    instances: HeardInstances
    samples: KernelSamples


def make_inbox(
    settings: Settings,
    edges: Edges,
    use_cases: UseCases,
    pokes: LoopPokes,
    agents: AgentLiveness,
    parts: InboxParts,
) -> BusInbox:
    """Return the manager's subscriptions, and its answers to requests."""
    return BusInbox(
        edges.bus,
        bus_login(settings),
        replicas=settings.nats_replicas,
        listening=agents.listening,
        proxies=parts.proxies,
        outcomes=parts.outcomes,
        instances=parts.instances,
        nodes=NodeReports(
            edges.pool,
            pokes.poke,
            places=address_policy(settings),
            lost_after=settings.lost_after,
            monotonic=edges.clocks.monotonic,
        ),
        scale=Scaling(edges.pool, pokes).answer,
        folder_access=use_cases.snapshot_files.grant,
        usage=use_cases.usage.store,
        traffic=use_cases.metric_history.store,
        samples=parts.samples,
        poke=pokes.poke,
    )
