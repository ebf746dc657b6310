"""Fake manager and fake fleet for the autoscaler: one wanted number per service, and metric samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import answering, subscribed
from headrace.common.bus.publish import publish, publish_last
from headrace.common.contracts.ids import KernelId, RuleId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.metrics import (
    KernelMetrics,
    KernelSample,
    ProxyMetrics,
    ReplicaSample,
    ServiceSample,
)
from headrace.common.contracts.messages.rules import LiveReplica, Rule, RuleTable
from headrace.common.contracts.messages.rulestates import RuleOutcome, RuleReport
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rule import RuleSpec

_NOBODY = SessionId(new_uuid())


@dataclass
class Service:
    """One service of the fake manager."""

    rules: tuple[Rule, ...]
    wanted: int = 1
    id: ServiceId = field(default_factory=lambda: ServiceId(new_uuid()))
    generation: int = 0
    replicas: tuple[LiveReplica, ...] = field(
        default_factory=lambda: (LiveReplica(session_id=SessionId(new_uuid()), kernel_ids=(KernelId(new_uuid()),)),)
    )

    @classmethod
    def of(cls, *specs: RuleSpec, wanted: int = 1) -> Service:
        """Return a service with these rules and one live replica."""
        return cls(rules=tuple(Rule(rule_id=RuleId(new_uuid()), spec=spec) for spec in specs), wanted=wanted)

    @property
    def session(self) -> SessionId:
        return self.replicas[0].session_id if self.replicas else _NOBODY

    @property
    def kernel(self) -> KernelId:
        return self.replicas[0].kernel_ids[0] if self.replicas else KernelId(_NOBODY)


class FakeManager:
    """Publishes rule tables, and answers scale requests by compare-and-set."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.services: dict[ServiceId, Service] = {}
        self.requests: list[ScaleRequest] = []
        self.applied: list[ScaleRequest] = []
        self.refuse = False
        self.mute = False
        """Do as asked, but let the answer get lost."""
        self.publishing = True
        self.outcomes: dict[RuleId, list[RuleOutcome]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeManager]:
        """Answer and subscribe while inside."""
        async with answering(self.bus, ScaleRequest, self._scale), subscribed(self.bus, RuleReport, self._hear):
            yield self

    async def put(self, service: Service) -> None:
        """Publish the service's table."""
        self.services[service.id] = service
        service.generation += 1
        if self.publishing:
            await publish_last(
                self.bus,
                RuleTable(
                    service_id=service.id,
                    generation=service.generation,
                    wanted=service.wanted,
                    replicas=service.replicas,
                    rules=service.rules,
                ),
            )

    async def remove(self, service: Service) -> None:
        """Publish the tombstone."""
        service.generation += 1
        await publish_last(self.bus, RuleTable(service_id=service.id, generation=service.generation, removed=True))

    def last(self, service: Service, number: int = 0) -> RuleOutcome | None:
        """Return the last reported outcome of one of the service's rules."""
        said = self.outcomes.get(service.rules[number].rule_id)
        return said[-1] if said else None

    def codes(self, service: Service, number: int = 0) -> list[str]:
        """Return the reported reason codes of a rule, in order, without repetitions."""
        said = [outcome.reason.code for outcome in self.outcomes.get(service.rules[number].rule_id, [])]
        return [code for code, before in zip(said, [None, *said], strict=False) if code != before]

    async def _scale(self, request: ScaleRequest) -> ScaleReply:
        self.requests.append(request)
        service = self.services[request.service_id]
        if self.refuse or service.wanted != request.from_wanted:
            reason = Reason(code="stale", text=f"{service.wanted} are wanted, not {request.from_wanted}")
            return ScaleReply(applied=False, wanted=service.wanted, reason=reason)
        service.wanted = request.wanted
        self.applied.append(request)
        await self.put(service)
        if self.mute:
            raise TimeoutError("the answer gets lost")
        return ScaleReply(applied=True, wanted=service.wanted, reason=Reason(code="scaled", text="done"))

    async def _hear(self, report: RuleReport) -> None:
        for outcome in report.outcomes:
            self.outcomes.setdefault(outcome.rule_id, []).append(outcome)


@dataclass
class Fleet:
    """Sends samples of services every 50 ms, like an agent and an app-proxy."""

    agent_bus: Bus
    proxy_bus: Bus
    kernel: dict[ServiceId, dict[str, float]] = field(default_factory=dict)
    engine: dict[ServiceId, dict[str, float]] = field(default_factory=dict)
    proxy: dict[ServiceId, dict[str, float]] = field(default_factory=dict)
    whole: dict[ServiceId, dict[str, float]] = field(default_factory=dict)
    services: dict[ServiceId, Service] = field(default_factory=dict)

    def say(
        self,
        service: Service,
        *,
        kernel: dict[str, float] | None = None,
        engine: dict[str, float] | None = None,
        proxy: dict[str, float] | None = None,
        whole: dict[str, float] | None = None,
    ) -> None:
        """Report these values of the service's first replica, and of the service itself (`whole`), from now on."""
        self.whole[service.id] = whole or {}
        self.services[service.id] = service
        self.kernel[service.id], self.engine[service.id], self.proxy[service.id] = (
            kernel or {},
            engine or {},
            proxy or {},
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Fleet]:
        """Send while inside."""
        task = asyncio.create_task(self._send())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _send(self) -> None:
        while True:
            now = datetime.now(UTC)
            kernels = tuple(
                KernelSample(
                    service_id=s.id,
                    session_id=s.session,
                    kernel_id=s.kernel,
                    kernel=self.kernel[s.id],
                    engine=self.engine[s.id],
                )
                for s in self.services.values()
            )
            replicas = tuple(
                ReplicaSample(service_id=s.id, session_id=s.session, values=self.proxy[s.id])
                for s in self.services.values()
            )
            await publish(self.agent_bus, KernelMetrics(agent_id="agent-1", at=now, samples=kernels))
            whole = tuple(ServiceSample(service_id=s.id, values=self.whole[s.id]) for s in self.services.values())
            await publish(self.proxy_bus, ProxyMetrics(proxy_id="proxy-1", at=now, samples=replicas, services=whole))
            await asyncio.sleep(0.05)
