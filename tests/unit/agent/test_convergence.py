"""Any world, any faults: the agent comes to the plan, and never starts a kernel twice."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from headrace.agent.domain.convergence import (
    Action,
    CancelStart,
    ConvergenceInput,
    Evict,
    MarkLost,
    Remove,
    Start,
    Stop,
    decide,
)
from headrace.agent.domain.kernels import LOST, KernelRecord, Operation, Phase, SeenKernel, ending_of
from headrace.common.contracts.ids import KernelId, SessionId, new_uuid
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.reasons import Reason
from tests.support.effort import examples

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MUCH = Reason(code="out-of-memory", text="too much")


def spec_of(kernel_id: KernelId) -> KernelSpec:
    return KernelSpec.model_validate(
        {
            "kernel_id": kernel_id,
            "session_id": kernel_id,
            "service_id": None,
            "revision_id": None,
            "project_id": kernel_id,
            "kind": "inference",
            "name": "x",
            "image": None,
            "command": ["x"],
            "port": 1,
            "model_path": "/models",
            "health_check": None,
            "slots": {},
        }
    )


def seen_of(kernel_id: KernelId, phase: Phase) -> SeenKernel:
    return SeenKernel(
        kernel_id, SessionId(kernel_id), None, phase, NOW, "h", 1, exit_code=0 if phase == "exited" else None
    )


ONE = KernelId(new_uuid())


def test_without_a_plan_nothing_is_done() -> None:
    assert decide(ConvergenceInput(None, {ONE: seen_of(ONE, "running")}, {}, {})) == []


def test_a_kernel_that_is_not_planned_is_stopped_then_removed() -> None:
    record = KernelRecord(spec=spec_of(ONE), started_at=NOW)
    assert decide(ConvergenceInput({}, {ONE: seen_of(ONE, "running")}, {ONE: record}, {})) == [Stop(ONE, 10.0)]
    assert decide(ConvergenceInput({}, {ONE: seen_of(ONE, "running")}, {}, {})) == [Stop(ONE, 10.0)]
    assert decide(ConvergenceInput({}, {ONE: seen_of(ONE, "exited")}, {ONE: record}, {})) == [Remove(ONE)]
    assert decide(ConvergenceInput({}, {}, {ONE: record}, {})) == [Remove(ONE)]


def test_a_start_under_way_is_given_up_when_the_plan_drops_it() -> None:
    assert decide(ConvergenceInput({}, {}, {}, {ONE: "start"})) == [CancelStart(ONE)]
    assert decide(ConvergenceInput({}, {}, {}, {ONE: "stop"})) == []


def test_a_start_that_ended_while_the_runtime_was_asked_is_not_taken_for_vanished() -> None:
    spec = spec_of(ONE)
    record = KernelRecord(spec=spec, started_at=NOW)
    assert decide(ConvergenceInput({ONE: spec}, {}, {ONE: record}, {})) == [MarkLost(ONE)]
    assert decide(ConvergenceInput({ONE: spec}, {}, {ONE: record}, {}, unsettled=frozenset({ONE}))) == []
    assert decide(ConvergenceInput({}, {}, {ONE: record}, {}, unsettled=frozenset({ONE}))) == []


def test_what_ended_failed_or_vanished_is_not_started_again() -> None:
    plan = {ONE: spec_of(ONE)}
    ran = KernelRecord(spec=spec_of(ONE), started_at=NOW)
    assert decide(ConvergenceInput(plan, {ONE: seen_of(ONE, "exited")}, {ONE: ran}, {})) == []
    assert decide(ConvergenceInput(plan, {}, {ONE: ran}, {})) == [MarkLost(ONE)]
    assert decide(ConvergenceInput(plan, {}, {ONE: ran.model_copy(update={"ending": LOST})}, {})) == []
    failed = KernelRecord(spec=spec_of(ONE), failure=Reason(code="folder-missing", text="x"))
    assert decide(ConvergenceInput(plan, {ONE: seen_of(ONE, "created")}, {ONE: failed}, {})) == []


def test_a_cut_start_is_begun_anew_but_not_while_a_newer_plan_may_come() -> None:
    record = KernelRecord(spec=spec_of(ONE))
    for seen in ({}, {ONE: seen_of(ONE, "created")}):
        assert decide(ConvergenceInput({ONE: spec_of(ONE)}, seen, {ONE: record}, {})) == [Start(spec_of(ONE))]
        assert decide(ConvergenceInput({ONE: spec_of(ONE)}, seen, {ONE: record}, {}, may_start=False)) == []


def test_a_kernel_found_running_without_a_record_is_left_running() -> None:
    assert decide(ConvergenceInput({ONE: spec_of(ONE)}, {ONE: seen_of(ONE, "running")}, {}, {})) == []


class Machine(RuleBasedStateMachine):
    """An agent's machine: real phases, records on disk, operations in memory. Rules are what may happen in any order."""

    kernels = Bundle("kernels")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.plan: dict[KernelId, KernelSpec] | None = None
        self.real: dict[KernelId, Phase] = {}
        self.records: dict[KernelId, KernelRecord] = {}
        self.busy: dict[KernelId, Operation] = {}
        self.programs_started: Counter[KernelId] = Counter()
        self.ever_planned: set[KernelId] = set()
        self.over: set[KernelId] = set()
        self.stopped_without_plan = False

    @initialize(target=kernels)
    def first(self) -> KernelId:
        return self.new_id()

    @precondition(lambda self: self.count < 3)  # few, so that much happens to each
    @rule(target=kernels)
    def another(self) -> KernelId:
        return self.new_id()

    def new_id(self) -> KernelId:
        self.count += 1
        return KernelId(UUID(int=self.count))

    @rule(ids=st.lists(kernels, max_size=5))
    def new_plan(self, ids: list[KernelId]) -> None:
        # A kernel that left the plan never comes back: its id is used once.
        old = set(self.plan or ())
        self.plan = {i: spec_of(i) for i in ids if i in old or i not in self.ever_planned}
        self.ever_planned |= set(self.plan)

    @rule()
    def one_pass(self) -> None:
        self.note()
        before = set(self.real)
        for action in self.decide():
            self.act(action)
        if self.plan is None and set(self.real) != before:
            self.stopped_without_plan = True

    @rule(kernel_id=kernels, well=st.booleans())
    def an_operation_ends(self, kernel_id: KernelId, *, well: bool) -> None:
        if kernel_id in self.busy:
            self.finish(kernel_id, well=well)

    @rule(kernel_id=kernels)
    def a_program_dies(self, kernel_id: KernelId) -> None:
        if self.real.get(kernel_id) == "running":
            self.real[kernel_id] = "exited"

    @rule(kernel_id=kernels)
    def it_takes_too_much_memory(self, kernel_id: KernelId) -> None:
        self.over.add(kernel_id)

    @rule(kernel_id=kernels)
    def somebody_removes_it(self, kernel_id: KernelId) -> None:
        record = self.records.get(kernel_id)
        # One that was never noted as started and leaves no trace cannot be told from one that never began.
        if kernel_id not in self.busy and record is not None and record.started_at is not None:
            self.real.pop(kernel_id, None)

    @rule(how_far=st.sampled_from(["nothing", "created", "running"]))
    def the_agent_is_killed(self, how_far: str) -> None:
        """Operations are cut anywhere; what they did to the world and to the disk stays."""
        for kernel_id, operation in list(self.busy.items()):
            if operation == "start" and how_far == "created":
                self.real[kernel_id] = "created"
            elif operation == "start" and how_far == "running":
                self.run(kernel_id)  # the program began, and the record does not say so yet
        self.busy.clear()

    def note(self) -> None:
        """What the converger notes of the world before it decides."""
        for kernel_id, phase in self.real.items():
            record = self.records.get(kernel_id)
            if phase == "created" or kernel_id in self.busy:
                continue
            if record is None and self.plan and kernel_id in self.plan:
                record = KernelRecord(spec=self.plan[kernel_id])
            if record is None or record.failure is not None:
                continue
            record = record.model_copy(update={"started_at": record.started_at or NOW})
            if phase == "exited" and record.ending is None:
                record = record.model_copy(update={"ending": ending_of(seen_of(kernel_id, "exited"), [])})
            self.records[kernel_id] = record

    def decide(self) -> list[Action]:
        seen = {kernel_id: seen_of(kernel_id, phase) for kernel_id, phase in self.real.items()}
        return decide(
            ConvergenceInput(
                self.plan, seen, dict(self.records), dict(self.busy), to_evict=dict.fromkeys(self.over, MUCH)
            )
        )

    def act(self, action: Action) -> None:
        match action:
            case Start(spec):
                assert spec.kernel_id not in self.busy
                self.busy[spec.kernel_id] = "start"
                self.records[spec.kernel_id] = KernelRecord(spec=spec)
            case CancelStart(kernel_id):
                assert self.busy.pop(kernel_id) == "start"
                self.real.pop(kernel_id, None)
            case Evict(kernel_id, reason):
                assert kernel_id not in self.busy
                self.busy[kernel_id] = "stop"
                self.records[kernel_id] = self.records[kernel_id].model_copy(update={"ended_for": reason})
            case Stop(kernel_id, _):
                self.busy[kernel_id] = "stop"
            case Remove(kernel_id):
                self.busy[kernel_id] = "remove"
            case MarkLost(kernel_id):
                self.records[kernel_id] = self.records[kernel_id].model_copy(update={"ending": LOST})

    def run(self, kernel_id: KernelId) -> None:
        self.real[kernel_id] = "running"
        self.programs_started[kernel_id] += 1

    def finish(self, kernel_id: KernelId, *, well: bool) -> None:
        operation = self.busy.pop(kernel_id)
        if operation == "start":
            if well:
                self.run(kernel_id)
                self.records[kernel_id] = self.records[kernel_id].model_copy(update={"started_at": NOW})
            else:
                failure = Reason(code="start-failed", text="x")
                self.records[kernel_id] = self.records[kernel_id].model_copy(update={"failure": failure})
        elif not well:
            return  # the runtime did not answer: nothing changed
        elif operation == "stop":
            if self.real.get(kernel_id) == "running":
                self.real[kernel_id] = "exited"
        else:
            self.real.pop(kernel_id, None)
            self.records.pop(kernel_id, None)

    @invariant()
    def nothing_is_started_twice(self) -> None:
        assert all(count <= 1 for count in self.programs_started.values())

    @invariant()
    def nothing_happens_without_a_plan(self) -> None:
        assert not self.stopped_without_plan

    def teardown(self) -> None:
        """Left alone, it comes to rest, and at rest the machine is as planned."""
        for _ in range(6):
            self.note()
            for action in self.decide():
                self.act(action)
            for kernel_id in list(self.busy):
                self.finish(kernel_id, well=True)
        self.note()
        assert self.decide() == []
        self.nothing_is_started_twice()
        if self.plan is not None:
            assert not any(self.real.get(kernel_id) == "running" for kernel_id in self.over)
            assert set(self.real) <= set(self.plan)
            for kernel_id in self.plan:
                record = self.records[kernel_id]
                assert self.real.get(kernel_id) == "running" or record.ending or record.failure


Machine.TestCase.settings = settings(max_examples=examples(300), stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase
