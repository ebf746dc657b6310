"""Rule tables, the newest of each service, and which metrics they watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from headrace.autoscaler.domain.observation import Live
from headrace.autoscaler.metrics import SERVICES
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.rule import MetricSource

log = structlog.get_logger()


@dataclass(slots=True)
class WatchedService:
    """A service with rules. `wanted` is its table's, or what the manager said later."""

    table: RuleTable
    live: Live
    wanted: int
    kernel_metrics: frozenset[str]
    framework_metrics: frozenset[str]

    @classmethod
    def of(cls, table: RuleTable) -> WatchedService:
        """Return the table with what follows from it."""
        return cls(
            table=table,
            live=Live.of(table.replicas),
            wanted=table.wanted,
            kernel_metrics=_names(table, MetricSource.KERNEL),
            framework_metrics=_names(table, MetricSource.INFERENCE_FRAMEWORK),
        )


@dataclass(slots=True)
class RuleTables:
    """Fences tables by generation. A removed one leaves only its generation, so that an older table cannot come back."""

    removed: set[ServiceId] = field(default_factory=set)
    """Services whose keys in Redis are to be deleted; whoever does it takes them out."""
    _known: dict[ServiceId, WatchedService] = field(default_factory=dict)
    _generations: dict[ServiceId, int] = field(default_factory=dict)

    async def deliver(self, table: RuleTable) -> None:
        """Take `table` if it is newer than what is known."""
        service = table.service_id
        if table.generation <= self._generations.get(service, 0):
            return
        self._generations[service] = table.generation
        if table.removed or not table.rules:
            if self._known.pop(service, None) is not None or table.removed:
                self.removed.add(service)
                log.info("rules_removed", service_id=str(service), generation=table.generation)
        else:
            self.removed.discard(service)
            self._known[service] = WatchedService.of(table)
        SERVICES.set(len(self._known))

    async def forget(self, subject: str) -> None:
        """Drop the table of this subject: nobody publishes it any more. What Redis has of it expires by itself."""
        service = ServiceId(UUID(subject.rsplit(".", 1)[-1]))
        self._generations.pop(service, None)  # whoever publishes it again counts as they do
        if self._known.pop(service, None) is not None:
            log.info("rules_gone", service_id=str(service))
        SERVICES.set(len(self._known))

    def learn(self, service: ServiceId, wanted: int, *, generation: int) -> None:
        """Remember what the manager said of `wanted` after the table of `generation`; a newer table knows better."""
        known = self._known.get(service)
        if known is not None and known.table.generation == generation:
            known.wanted = wanted

    def of(self, service: ServiceId) -> WatchedService | None:
        """Return the service's table, None when it has no rules."""
        return self._known.get(service)

    def all(self) -> Mapping[ServiceId, WatchedService]:
        """Return the services that have rules, as they are now."""
        return dict(self._known)


def _names(table: RuleTable, source: MetricSource) -> frozenset[str]:
    # Disabled rules too: they show their value, and enabling one does not start with an empty window.
    return frozenset(rule.spec.metric for rule in table.rules if rule.spec.source is source)
