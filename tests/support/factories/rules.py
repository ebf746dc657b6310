"""Factories of scaling rules, samples and evaluation inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headrace.autoscaler.domain.observation import LiveTargets
from headrace.autoscaler.domain.policy import ScalingInput
from headrace.autoscaler.domain.window import Origin, Reading, Window
from headrace.common.contracts.ids import KernelId, RuleId, ServiceId, SessionId
from headrace.common.contracts.messages.rules import LiveReplica, Rule, RuleTable
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
SERVICE = ServiceId(UUID(int=1))


def spec(**changes: Any) -> RuleSpec:
    """Return a rule spec: above 80 percent CPU add one replica, up to ten."""
    defaults: dict[str, Any] = {
        "source": MetricSource.KERNEL,
        "metric": "cpu_util",
        "comparator": Comparator.GREATER_THAN,
        "threshold": 80,
        "step": 1,
        "min_replicas": 1,
        "max_replicas": 10,
        "cooldown_s": 60,
    }
    return RuleSpec(**(defaults | changes))


def rule(number: int, rule_spec: RuleSpec) -> Rule:
    return Rule(rule_id=RuleId(UUID(int=number)), spec=rule_spec)


def replica(number: int, kernels: int = 1) -> LiveReplica:
    """Return replica `number`, with kernels `number * 100`, `number * 100 + 1`…"""
    ids = tuple(KernelId(UUID(int=number * 100 + n)) for n in range(kernels))
    return LiveReplica(session_id=SessionId(UUID(int=number)), kernel_ids=ids)


def session(number: int) -> str:
    return str(UUID(int=number))


def kernel(number: int, rank: int = 0) -> str:
    return str(UUID(int=number * 100 + rank))


@dataclass
class ScalingInputBuilder:
    """Builder of the ScalingInput of one service."""

    rules: Sequence[Rule]
    wanted: int = 1
    replicas: Sequence[LiveReplica] = (replica(1),)
    active: bool = True
    fired: Mapping[RuleId, datetime] = field(default_factory=dict)
    window: Window = field(default_factory=Window)

    def said(
        self, origin: Origin, owner: str, metric: str, value: float, *, ago_s: float = 1, by: str = ""
    ) -> ScalingInputBuilder:
        """Add one reading, `ago_s` before NOW."""
        self.window.add(Reading(origin, owner, by, metric, int(NOW_MS - ago_s * 1000), value, 1))
        return self

    def kernels_say(self, metric: str, *values: float) -> ScalingInputBuilder:
        """Set the metric of replica n's kernel to the n-th value."""
        for number, value in enumerate(values, start=1):
            self.said(Origin.KERNEL, kernel(number), metric, value)
        return self

    def said_at(self, now: datetime, value: float) -> ScalingInputBuilder:
        """Add a `cpu_util` reading of the first replica's kernel, a second before `now`."""
        at_ms = int(now.timestamp() * 1000) - 1000
        self.window.add(Reading(Origin.KERNEL, kernel(1), "", "cpu_util", at_ms, value, 1))
        return self

    def subject(self) -> ScalingInput:
        table = RuleTable(
            service_id=SERVICE,
            generation=1,
            wanted=self.wanted,
            active=self.active,
            replicas=tuple(self.replicas),
            rules=tuple(self.rules),
        )
        return ScalingInput(
            table=table, live=LiveTargets.of(table.replicas), wanted=self.wanted, window=self.window, fired=self.fired
        )
