"""Drains of machines, for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, NonNegativeInt

from headrace.common.contracts.http.agents import OperatorReason
from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.http.receipts import Counts
from headrace.common.contracts.ids import AgentId, ProxyId, ServiceId
from headrace.common.contracts.reasons import Reason, said_of


class StartDrain(Body):
    """Drain of a machine: its replicas move elsewhere."""

    message: OperatorReason = ""
    """Why, for those whose sessions wait, and the history."""


class ServiceOnAgent(View):
    """What a service still has on a machine that is being drained, and why."""

    service_id: ServiceId | None
    """None: trial runs."""
    name: str
    """`project/service`."""
    replicas: NonNegativeInt
    """Replicas there that have not begun to leave."""
    leaving: NonNegativeInt
    """Replicas there that finish their open requests, or stop."""
    moving: bool
    """Whether its replicas there are being replaced now: services move one after the other."""
    reason: Annotated[Reason, said_of("drain")]


class AgentDrainReceipt(Counts):
    """Receipt of a machine's drain: the sum over the replicas that left it during the drain."""

    replicas: NonNegativeInt
    """Replicas that left, or are leaving."""
    draining: NonNegativeInt
    """Those of them that still drain."""
    waiting_for: tuple[ProxyId, ...]
    """App-proxies whose final report is missing."""
    complete: bool
    """True if the drain is over, and all receipts are complete."""


class AgentDrainView(View):
    """Drain of a machine: what is still there and why, and what it cost callers."""

    agent: AgentId
    status: Literal["draining", "finished", "cancelled", "removed"]
    """cancelled: the cordon was ended. removed: the machine was removed."""
    started_at: AwareDatetime
    started_by: str
    message: str
    ended_at: AwareDatetime | None
    services: tuple[ServiceOnAgent, ...]
    reason: Annotated[Reason, said_of("drain")] | None
    """What it waits for besides services; None: nothing."""
    receipt: AgentDrainReceipt
