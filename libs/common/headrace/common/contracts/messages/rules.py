"""Manager → autoscaler: what to watch for one service."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from headrace.common.contracts.ids import AgentId, KernelId, RuleId, ServiceId, SessionId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.rule import RuleSpec


class Rule(Part):
    """A rule with its identity."""

    rule_id: RuleId
    spec: RuleSpec


class LiveReplica(Part):
    """Replica that gets traffic, and its kernels: samples of anything else do not count."""

    session_id: SessionId
    kernel_ids: tuple[KernelId, ...]
    agent_ids: tuple[AgentId, ...] = ()
    """Machine of each kernel, in their order: others' samples of it do not count. Empty: the manager's version does not send it."""


class RuleTable(Message):
    """Manager → autoscaler: rules and live replicas of one service. Replaces any table of a lower generation."""

    subject: ClassVar = "rules.{service_id}"
    v: Literal[1] = 1
    service_id: ServiceId
    generation: PositiveInt
    removed: bool = False
    wanted: NonNegativeInt = 0
    active: bool = True
    """False while the service is stopped or being deleted: no rule fires."""
    replicas: tuple[LiveReplica, ...] = ()
    rules: tuple[Rule, ...] = ()
