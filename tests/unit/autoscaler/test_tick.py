"""Two autoscalers among faults, on a Redis that they share and a manager that compares and sets; only these two are fakes.

Whatever is lost or breaks, and wherever a process dies: a rule changes the number at most once per cooldown and never past
its bounds, and once the faults end everything settles.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
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

from headrace.autoscaler.domain.window import Origin
from headrace.autoscaler.wiring import Autoscaler, Edges, make_autoscaler
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.messages.rulestates import RuleReport
from headrace.common.contracts.messages.scaling import Cooling, ScaleReply, ScaleRequest
from headrace.common.contracts.reasons import Reason
from headrace.common.runtime.clock import Clocks
from tests.support.effort import examples
from tests.support.factories.rules import NOW, SERVICE, kernel, replica, spec
from tests.support.factories.rules import rule as a_rule
from tests.support.factories.settings import autoscaler_settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from headrace.common.bus.connect import Bus

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
class Shared:
    """What outlives any autoscaler: the time, the manager's number and what Redis holds."""

    now: datetime = NOW
    wanted: int = 1
    generation: int = 1
    state: dict[bytes, bytes] = field(default_factory=dict)
    """The service's cooldowns and its pending request."""
    holder: str | None = None
    lease_until: datetime = NOW
    fault_ahead: str | None = None
    changes: list[tuple[RuleId, datetime, int]] = field(default_factory=list)
    reports: list[RuleReport] = field(default_factory=list)

    def seconds(self) -> float:
        """Return the time as a clock that only goes on."""
        return self.now.timestamp()

    @property
    def pending(self) -> bool:
        """Whether a request was not answered."""
        return b"pending" in self.state

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

    def cooling_s(self, rule_id: RuleId) -> float:
        """Return how many seconds of the rule's cooldown are left, as the manager counts them from its decisions."""
        cooldown_s = next(one.spec.cooldown_s for one in RULES if one.rule_id == rule_id)
        fired = [at for changed, at, _ in self.changes if changed == rule_id]
        return cooldown_s - (self.now - fired[-1]).total_seconds() if fired else 0.0


@dataclass
class FakeRedis:
    """What one autoscaler sees of the Redis that all share: it fails before or after it wrote."""

    shared: Shared

    def register_script(self, script: str) -> Callable[..., Awaitable[list[int]]]:
        assert "PEXPIRE" in script or "DEL" in script
        return self._claim

    async def _claim(self, *, keys: list[str], args: list[Any]) -> list[int]:
        """Leases: see leases.py."""
        shared, (me, length_ms) = self.shared, args
        if shared.fault("claim"):
            raise RedisConnectionError("away")
        state = 0
        if shared.holder == me and shared.lease_until > shared.now:
            state = 1
        elif shared.holder == me or shared.lease_until <= shared.now:
            state = 2
        if state:
            shared.holder, shared.lease_until = me, shared.now + timedelta(milliseconds=length_ms)
        at = shared.now.timestamp()
        return [int(at), int(at % 1 * 1_000_000), *[state for _ in keys]]

    def pipeline(self, *, transaction: bool) -> FakePipeline:
        return FakePipeline(self)

    async def hdel(self, name: str, field: str) -> None:
        self.write([("hdel", field)], "dropped")

    async def delete(self, *names: str) -> None:
        raise AssertionError("no service lost its rules")

    async def xread(self, streams: dict[str, str]) -> list[Any]:
        """Windows: of each service one sample of this moment."""
        at = f"{int(self.shared.now.timestamp() * 1000)}-0"
        blob = json.dumps([[Origin.KERNEL, kernel(1), "", {"cpu_util": [95.0, 1]}]]).encode()
        return [(name.encode(), [(at.encode(), {b"d": blob})]) for name, last in streams.items() if last != at]

    def write(self, changes: list[tuple[str, ...]], point: str) -> None:
        """Change the service's state (records.py), all or nothing, with what goes wrong at this point."""
        shared = self.shared
        if shared.fault(f"{point}-lost"):
            raise RedisConnectionError("away")
        if shared.fault(f"{point}-die"):
            raise DiedError
        for what, field_name, *value in changes:
            if what == "hset":
                shared.state[field_name.encode()] = str(value[0]).encode()
            else:
                shared.state.pop(field_name.encode(), None)
        if shared.fault(f"{point}-unheard"):
            raise RedisConnectionError("away")


@dataclass
class FakePipeline:
    """Commands that are sent together."""

    redis: FakeRedis
    reads: int = 0
    writes: list[tuple[str, ...]] = field(default_factory=list)

    def hgetall(self, _: str) -> None:
        self.reads += 1

    def hset(self, _: str, field_name: str, value: object) -> None:
        self.writes.append(("hset", field_name, str(value)))

    def hdel(self, _: str, field_name: str) -> None:
        self.writes.append(("hdel", field_name))

    def pexpire(self, *_: object) -> None: ...

    async def execute(self) -> list[Any]:
        if self.writes:
            self.redis.write(self.writes, "begin" if self.writes[0][1] == "pending" else "done")
        return [dict(self.redis.shared.state) for _ in range(self.reads)]


@dataclass
class FakeBus:
    """The bus, with the manager behind it."""

    shared: Shared
    connected: bool = True

    @property
    def client(self) -> FakeBus:
        return self

    async def publish(self, _: str, data: bytes) -> None:
        self.shared.reports.append(RuleReport.decode(data))

    async def request(self, _: str, data: bytes, **_kw: float) -> Any:
        request, shared = ScaleRequest.decode(data), self.shared
        fault = shared.fault(*ASK_FAULTS)
        if fault == "nobody":
            raise NoRespondersError
        if fault == "lost":
            raise NatsTimeoutError
        if fault == "refused" or request.from_wanted != shared.wanted:
            return self._reply(applied=False)
        if (left_s := shared.cooling_s(request.rule_id)) > 0:
            return self._reply(applied=False, cooling=Cooling(rule_id=request.rule_id, left_s=left_s))
        shared.change(request.wanted)
        shared.changes.append((request.rule_id, request.decided_at, request.wanted))
        if fault == "late":
            raise NatsTimeoutError
        if fault == "die-after":
            raise DiedError
        return self._reply(applied=True)

    def _reply(self, *, applied: bool, cooling: Cooling | None = None) -> Any:
        reason = Reason(code="x", text="y")
        reply = ScaleReply(applied=applied, wanted=self.shared.wanted, reason=reason, cooling=cooling)
        return SimpleNamespace(data=reply.encode())


def autoscaler(shared: Shared) -> Autoscaler:
    """One process, which has just started."""
    clocks = Clocks(utc=lambda: shared.now, monotonic=shared.seconds)
    edges = Edges(cast("Bus", FakeBus(shared)), cast("Redis", FakeRedis(shared)), clocks)
    return make_autoscaler(autoscaler_settings(), edges)


class Autoscalers(RuleBasedStateMachine):
    """Two autoscalers and everything that can happen to them."""

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.shared = Shared()
        self.all = [self._new(), self._new()]

    def _new(self) -> Autoscaler:
        made = autoscaler(self.shared)
        self.runner.run(made.tables.deliver(self.shared.table()))
        return made

    @rule(number=st.integers(0, 1), fault=st.sampled_from([None, *FAULTS]))
    def ticks(self, number: int, fault: str | None) -> None:
        """One pass, with at most one thing going wrong in it."""
        self.shared.fault_ahead = fault
        try:
            self.runner.run(self.all[number].tick.one_pass())
        except BaseExceptionGroup as group:
            assert group.subgroup(DiedError)  # noqa: PT017 - nothing else may come out of a pass
            self.all[number] = self._new()
        except DiedError:
            self.all[number] = self._new()

    @rule(number=st.integers(0, 1))
    def hears(self, number: int) -> None:
        self.runner.run(self.all[number].tables.deliver(self.shared.table()))

    @rule(seconds=st.sampled_from([0.5, 1, 2, 4, 20, 70, 400]))
    def time_passes(self, seconds: float) -> None:
        """Tables arrive well within the patience; time in between is the ticks'."""
        if seconds > 2:
            self.hears(0)
            self.hears(1)
        self.shared.now += timedelta(seconds=seconds)

    @rule(number=st.integers(0, 1))
    def dies(self, number: int) -> None:
        self.all[number] = self._new()

    @rule()
    def redis_loses_all(self) -> None:
        """As a replica does that is promoted before it had the last writes; what the processes remember is theirs."""
        self.shared.state.clear()
        self.shared.holder = None

    @precondition(lambda self: not self.shared.pending)
    @rule(wanted=st.integers(0, BOUND))
    def a_user_scales(self, wanted: int) -> None:
        self.shared.change(wanted)

    @invariant()
    def a_rule_fires_once_per_cooldown(self) -> None:
        if not hasattr(self, "shared"):
            return
        last: dict[RuleId, datetime] = {}
        for rule_id, at, wanted in self.shared.changes:
            said = next(r.spec for r in RULES if r.rule_id == rule_id)
            if rule_id in last:
                assert at - last[rule_id] >= timedelta(seconds=said.cooldown_s), self.shared.changes
            last[rule_id] = at
            assert said.min_replicas <= wanted <= said.max_replicas

    def teardown(self) -> None:
        if not hasattr(self, "shared"):
            return
        try:
            for _ in range(20):  # 20 minutes: each rule's cooldown ends several times
                for number in (0, 1):
                    self.hears(number)
                    self.ticks(number, None)
                self.shared.now += timedelta(seconds=61)
            self.a_rule_fires_once_per_cooldown()
            assert not self.shared.pending
            assert self.shared.wanted > 6, self.shared
            said = self.shared.reports[-1].outcomes
            assert {o.reason.code for o in said} <= {"above-maximum", "below-minimum", "cooling-down"}
        finally:
            self.runner.close()


TestAutoscalers = Autoscalers.TestCase
TestAutoscalers.settings = settings(max_examples=examples(100), stateful_step_count=30, deadline=None)
