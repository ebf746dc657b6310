"""Autoscaler → managers: its state, and that of Redis."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, NonNegativeInt, StringConstraints

from headrace.common.contracts.ids import AutoscalerId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.messages.instances import ServiceInstance


class RedisServer(Part):
    """Redis (or Valkey), as it answers an autoscaler."""

    version: Annotated[str, StringConstraints(max_length=64)]
    role: Annotated[str, StringConstraints(max_length=64)]
    """`master`, or `slave`, which takes no writes."""
    memory_bytes: NonNegativeInt
    max_memory_bytes: NonNegativeInt
    """0: no limit of its own."""
    address: Annotated[str, StringConstraints(max_length=300)] = ""
    """HOST:PORT."""


class AutoscalerReport(Message):
    """Autoscaler → managers, every 5 s, and once more when it stops: its state, and that of Redis."""

    subject: ClassVar = "report.autoscaler.{autoscaler_id}"
    v: Literal[1] = 1
    autoscaler_id: AutoscalerId
    sent_at: AwareDatetime
    instance: ServiceInstance
    services: NonNegativeInt
    """Services with rules."""
    evaluated: NonNegativeInt
    """Those of them whose rules it evaluates; other autoscalers evaluate the rest."""
    last_tick_at: AwareDatetime | None = None
    """When it last evaluated rules; None: not since its start."""
    redis: RedisServer | None = None
    """None: it does not answer, or tells nothing of itself."""
