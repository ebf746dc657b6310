"""Rule tables: the newest table of each service, and the metrics that its rules name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from headrace.autoscaler.domain.observation import LiveTargets
from headrace.autoscaler.metrics import SERVICES
from headrace.common.contracts.ids import AgentId, ServiceId
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.rule import MetricSource

log = structlog.get_logger()


@dataclass(slots=True)
class WatchedService:
    """A service with rules, and its metrics.

    `wanted` is the table's number of replicas, or a newer one that the manager answered.
    """

    table: RuleTable
    live: LiveTargets
    wanted: int
    kernel_metrics: frozenset[str]
    framework_metrics: frozenset[str]
    machines: Mapping[str, AgentId] | None
    """Machine of each live kernel; None: the manager's version does not say."""

    @classmethod
    def of(cls, table: RuleTable) -> WatchedService:
        """Return the table with its live targets and metric names."""
        return cls(
            table=table,
            live=LiveTargets.of(table.replicas),
            wanted=table.wanted,
            kernel_metrics=_names(table, MetricSource.KERNEL),
            framework_metrics=_names(table, MetricSource.INFERENCE_FRAMEWORK),
            machines=_machines(table),
        )

    def machine_of(self, kernel_id: str, reporter: AgentId) -> AgentId | None:
        """Return the machine of a live kernel; None for one that is not live. What is not known is taken for the reporter's."""
        return reporter if self.machines is None else self.machines.get(kernel_id)


@dataclass(slots=True)
class RuleTables:
    """Rule tables of all services, fenced by generation.

    A removed table leaves its generation, so that an older table cannot come back.
    """

    removed: set[ServiceId] = field(default_factory=set)
    """Services whose keys in Redis are to be deleted; the tick does it and clears them here."""
    _watched: dict[ServiceId, WatchedService] = field(default_factory=dict)
    _generations: dict[ServiceId, int] = field(default_factory=dict)

    async def deliver(self, table: RuleTable) -> None:
        """Store `table` if its generation is newer than the one known."""
        service = table.service_id
        if table.generation <= self._generations.get(service, 0):
            return
        self._generations[service] = table.generation
        if table.removed or not table.rules:
            if self._watched.pop(service, None) is not None or table.removed:
                self.removed.add(service)
                log.info("rule_table_removed", service_id=str(service), generation=table.generation)
        else:
            self.removed.discard(service)
            self._watched[service] = WatchedService.of(table)
        SERVICES.set(len(self._watched))

    async def forget(self, subject: str) -> None:
        """Drop the table of this subject, which is no longer published.

        The service's keys in Redis expire by themselves.
        """
        service = ServiceId(UUID(subject.rsplit(".", 1)[-1]))
        self._generations.pop(service, None)  # its publisher may start generations anew
        if self._watched.pop(service, None) is not None:
            log.info("rule_table_expired", service_id=str(service))
        SERVICES.set(len(self._watched))

    def learn(self, service: ServiceId, wanted: int, *, generation: int) -> None:
        """Store the manager's answer `wanted`, given after the table of `generation`; a newer table overrides it."""
        watched = self._watched.get(service)
        if watched is not None and watched.table.generation == generation:
            watched.wanted = wanted

    def of(self, service: ServiceId) -> WatchedService | None:
        """Return the service's table; None when it has no rules."""
        return self._watched.get(service)

    def all(self) -> Mapping[ServiceId, WatchedService]:
        """Return a snapshot of the services that have rules."""
        return dict(self._watched)


def _machines(table: RuleTable) -> dict[str, AgentId] | None:
    if any(len(replica.agent_ids) != len(replica.kernel_ids) for replica in table.replicas):
        return None
    return {
        str(kernel): agent
        for replica in table.replicas
        for kernel, agent in zip(replica.kernel_ids, replica.agent_ids, strict=True)
    }


def _names(table: RuleTable, source: MetricSource) -> frozenset[str]:
    # Disabled rules too: they show their value, and enabling one does not start with an empty window.
    return frozenset(rule.spec.metric for rule in table.rules if rule.spec.source is source)
