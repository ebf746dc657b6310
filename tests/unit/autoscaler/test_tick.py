"""The real tick and trigger in a world of faults: two autoscalers, a shared store, a manager that compares and sets.

Whatever is lost or breaks, and wherever a process dies: a rule changes the number at most once per cooldown and never past
its bounds, and once the faults end everything settles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from redis.exceptions import ConnectionError as RedisConnectionError

from headrace.autoscaler.domain.firing import PendingRequest
from headrace.autoscaler.domain.observation import AveragingWindow
from headrace.autoscaler.domain.window import Origin, Reading, Window
from headrace.autoscaler.reconcile.report import Reporter
from headrace.autoscaler.reconcile.scale_requester import ScaleRequester
from headrace.autoscaler.reconcile.tick import Tick, TickContext
from headrace.autoscaler.records import ServiceState
from headrace.autoscaler.rule_tables import RuleTables
from headrace.common.contracts.ids import RuleId, ServiceId
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.messages.rulestates import RuleReport
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.reasons import Reason
from tests.support.effort import examples
from tests.support.factories.rules import NOW, SERVICE, kernel, replica, spec
from tests.support.factories.rules import rule as a_rule

if TYPE_CHECKING:
    from headrace.autoscaler.leases import Leases
    from headrace.autoscaler.records import ScalingRecords
    from headrace.autoscaler.windows import Windows
    from headrace.common.bus.connect import Bus

LEASE = timedelta(seconds=3)
PATIENCE = timedelta(seconds=10)
RULES = (
    a_rule(1, spec(step=1, max_replicas=6, cooldown_s=60)),
    a_rule(2, spec(step=3, max_replicas=9, cooldown_s=300)),
)
BOUND = 9
REDIS_POINTS = ("begin", "done", "dropped")
ASK_FAULTS = ("nobody", "lost", "late", "refused", "die-after")
FAULTS = ("claim", *ASK_FAULTS, *(f"{point}-{how}" for point in REDIS_POINTS for how in ("lost", "unheard", "die")))


class DiedError(BaseException):
    """The process is gone in the middle of what it did."""


@dataclass
class World:
    """What outlives any autoscaler."""

    now: datetime = NOW
    wanted: int = 1
    generation: int = 1
    fired: dict[RuleId, datetime] = field(default_factory=dict)
    pending: PendingRequest | None = None
    holder: int | None = None
    lease_until: datetime = NOW
    fault_ahead: str | None = None
    changes: list[tuple[RuleId, datetime, int]] = field(default_factory=list)
    reports: list[RuleReport] = field(default_factory=list)

    def fault(self, *kinds: str) -> str | None:
        """Use up the fault that lies ahead if it is one of these."""
        if self.fault_ahead not in kinds:
            return None
        found, self.fault_ahead = self.fault_ahead, None
        return found

    def table(self) -> RuleTable:
        return RuleTable(
            service_id=SERVICE, generation=self.generation, wanted=self.wanted, replicas=(replica(1),), rules=RULES
        )

    def change(self, wanted: int) -> None:
        self.wanted = wanted
        self.generation += 1


@dataclass
class FakeRecords:
    """ScalingRecords' promises on a store in memory that fails before or after it wrote."""

    world: World
    state: ServiceState = field(default_factory=ServiceState)

    async def load(self, services: Collection[ServiceId]) -> None:
        merged = dict(self.world.fired)
        for rule_id, at in self.state.fired.items():
            merged[rule_id] = max(at, merged.get(rule_id, at))
        if services:
            self.state = ServiceState(fired=merged, pending=self.world.pending)

    def of(self, _: ServiceId) -> ServiceState:
        return self.state

    async def begin(self, _: ServiceId, pending: PendingRequest) -> None:
        self.state.pending = pending
        self._broken_before("begin")
        self.world.pending = pending
        self._broken_after("begin")

    async def done(self, _: ServiceId, pending: PendingRequest) -> None:
        self.state.fired[pending.rule_id] = pending.at
        self.state.pending = None
        self._broken_before("done")
        self.world.fired[pending.rule_id] = pending.at
        self.world.pending = None
        self._broken_after("done")

    async def dropped(self, _: ServiceId) -> None:
        self.state.pending = None
        self._broken_before("dropped")
        self.world.pending = None
        self._broken_after("dropped")

    async def forget(self, services: Collection[ServiceId]) -> None:
        assert not services

    def _broken_before(self, point: str) -> None:
        if self.world.fault(f"{point}-lost"):
            raise RedisConnectionError("away")
        if self.world.fault(f"{point}-die"):
            raise DiedError

    def _broken_after(self, point: str) -> None:
        if self.world.fault(f"{point}-unheard"):
            raise RedisConnectionError("away")


@dataclass
class FakeLeases:
    world: World
    me: int

    async def claim(self, services: Collection[ServiceId]) -> tuple[datetime, dict[ServiceId, bool]]:
        if self.world.fault("claim"):
            raise RedisConnectionError("away")
        world = self.world
        if world.holder != self.me and world.lease_until > world.now:
            return world.now, {}
        new = world.holder != self.me or world.lease_until <= world.now
        world.holder, world.lease_until = self.me, world.now + LEASE
        return world.now, dict.fromkeys(services, new)

    def holds(self, _: ServiceId) -> bool:
        return self.world.holder == self.me

    def last_claimed(self) -> list[ServiceId]:
        return [SERVICE]


@dataclass
class FakeWindows:
    world: World

    async def read(self, services: Collection[ServiceId], now: datetime) -> None: ...

    def of(self, _: ServiceId) -> Window:
        window = Window()
        at_ms = int(self.world.now.timestamp() * 1000)
        window.add(Reading(Origin.KERNEL, kernel(1), "", "cpu_util", at_ms, 95.0, 1))
        return window


@dataclass
class FakeBus:
    """The bus, with the manager behind it."""

    world: World
    connected: bool = True

    @property
    def client(self) -> FakeBus:
        return self

    async def publish(self, _: str, data: bytes) -> None:
        self.world.reports.append(RuleReport.decode(data))

    async def request(self, _: str, data: bytes, **_kw: float) -> Any:
        request, world = ScaleRequest.decode(data), self.world
        fault = world.fault(*ASK_FAULTS)
        if fault == "nobody":
            raise NoRespondersError
        if fault == "lost":
            raise NatsTimeoutError
        if fault == "refused" or request.from_wanted != world.wanted:
            return self._reply(applied=False)
        world.change(request.wanted)
        world.changes.append((request.rule_id, request.decided_at, request.wanted))
        if fault == "late":
            raise NatsTimeoutError
        if fault == "die-after":
            raise DiedError
        return self._reply(applied=True)

    def _reply(self, *, applied: bool) -> Any:
        reply = ScaleReply(applied=applied, wanted=self.world.wanted, reason=Reason(code="x", text="y"))
        return SimpleNamespace(data=reply.encode())


class Autoscaler:
    """One process: the real tick, trigger, reporter and tables."""

    def __init__(self, world: World, me: int) -> None:
        self.tables = RuleTables()
        records, bus = cast("ScalingRecords", FakeRecords(world)), cast("Bus", FakeBus(world))
        parts = TickContext(
            tables=self.tables,
            windows=cast("Windows", FakeWindows(world)),
            leases=cast("Leases", FakeLeases(world, me)),
            records=records,
            requester=ScaleRequester(bus, self.tables, records, ask_timeout=timedelta(seconds=1)),
            reporter=Reporter(bus, every=timedelta(seconds=10)),
            clock=lambda: world.now,
        )
        self.tick = Tick(parts, averaging=AveragingWindow(), patience=PATIENCE)


class Autoscalers(RuleBasedStateMachine):
    """Two autoscalers and everything that can happen to them."""

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.world = World()
        self.born = 0
        self.all = [self._new(), self._new()]

    def _new(self) -> Autoscaler:
        self.born += 1
        made = Autoscaler(self.world, self.born)
        self.runner.run(made.tables.deliver(self.world.table()))
        return made

    @rule(number=st.integers(0, 1), fault=st.sampled_from([None, *FAULTS]))
    def ticks(self, number: int, fault: str | None) -> None:
        """One pass, with at most one thing going wrong in it."""
        self.world.fault_ahead = fault
        try:
            self.runner.run(self.all[number].tick.one_pass())
        except BaseExceptionGroup as group:
            assert group.subgroup(DiedError)  # noqa: PT017 - nothing else may come out of a pass
            self.all[number] = self._new()
        except DiedError:
            self.all[number] = self._new()

    @rule(number=st.integers(0, 1))
    def hears(self, number: int) -> None:
        self.runner.run(self.all[number].tables.deliver(self.world.table()))

    @rule(seconds=st.sampled_from([0.5, 1, 2, 4, 20, 70, 400]))
    def time_passes(self, seconds: float) -> None:
        """Tables arrive well within the patience; time in between is the ticks'."""
        if seconds > 2:
            self.hears(0)
            self.hears(1)
        self.world.now += timedelta(seconds=seconds)

    @rule(number=st.integers(0, 1))
    def dies(self, number: int) -> None:
        self.all[number] = self._new()

    @precondition(lambda self: self.world.pending is None)
    @rule(wanted=st.integers(0, BOUND))
    def a_user_scales(self, wanted: int) -> None:
        self.world.change(wanted)

    @invariant()
    def a_rule_fires_once_per_cooldown(self) -> None:
        if not hasattr(self, "world"):
            return
        last: dict[RuleId, datetime] = {}
        for rule_id, at, wanted in self.world.changes:
            said = next(r.spec for r in RULES if r.rule_id == rule_id)
            if rule_id in last:
                assert at - last[rule_id] >= timedelta(seconds=said.cooldown_s), self.world.changes
            last[rule_id] = at
            assert said.min_replicas <= wanted <= said.max_replicas

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            for _ in range(20):  # 20 minutes: each rule's cooldown ends several times
                for number in (0, 1):
                    self.hears(number)
                    self.ticks(number, None)
                self.world.now += timedelta(seconds=61)
            self.a_rule_fires_once_per_cooldown()
            assert self.world.pending is None
            assert self.world.wanted > 6, self.world
            said = self.world.reports[-1].outcomes
            assert {o.reason.code for o in said} <= {"above-maximum", "below-minimum", "cooling-down"}
        finally:
            self.runner.close()


TestAutoscalers = Autoscalers.TestCase
TestAutoscalers.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)
