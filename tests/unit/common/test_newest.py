"""Of each sender the newest message counts; what waits is bounded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.common.bus import newest
from headrace.common.bus.newest import ConflatingQueue
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import Machine, NodeReport

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def report(agent: str, sequence: int) -> NodeReport:
    machine = Machine(
        hostname=agent, architecture="x86_64", address="a", runtime="process", version="0", slots={"cpu": "1"}
    )
    return NodeReport(
        agent_id=AgentId(agent),
        incarnation="1",
        sequence=sequence,
        sent_at=NOW,
        applied_generation=0,
        machine=machine,
        kernels=(),
    )


def put(waiting: ConflatingQueue[NodeReport], one: NodeReport) -> None:
    waiting.put(one.address(), one.encode())


def taken(waiting: ConflatingQueue[NodeReport]) -> list[tuple[str, int]]:
    return [(one.agent_id, one.sequence) for one in waiting.take()]


def test_an_older_message_of_the_same_sender_is_never_looked_at() -> None:
    waiting = ConflatingQueue(NodeReport)
    for sequence in range(1, 100):
        put(waiting, report("a", sequence))
        put(waiting, report("b", sequence))
    assert taken(waiting) == [("a", 99), ("b", 99)]
    assert taken(waiting) == []


def test_who_waited_first_is_taken_first_however_often_others_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "MAX_PER_BATCH", 2)
    waiting = ConflatingQueue(NodeReport)
    for name in ("a", "b", "c"):
        put(waiting, report(name, 1))
    put(waiting, report("b", 2))
    assert taken(waiting) == [("a", 1), ("b", 2)]
    put(waiting, report("a", 3))
    assert taken(waiting) == [("c", 1), ("a", 3)]


def test_a_message_that_cannot_be_read_costs_itself() -> None:
    waiting = ConflatingQueue(NodeReport)
    waiting.put("report.agent.bad", b"{")
    put(waiting, report("a", 1))
    assert taken(waiting) == [("a", 1)]


def test_a_batch_ends_at_its_bytes_but_takes_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "MAX_BATCH_BYTES", 10)
    waiting = ConflatingQueue(NodeReport)
    put(waiting, report("a", 1))
    put(waiting, report("b", 1))
    assert [taken(waiting), taken(waiting)] == [[("a", 1)], [("b", 1)]]


def test_what_would_be_too_much_to_hold_is_dropped_and_what_waits_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(report("a", 1).encode())
    monkeypatch.setattr(newest, "MAX_WAITING_BYTES", 2 * size)
    waiting = ConflatingQueue(NodeReport)
    for name in ("a", "b", "c"):
        put(waiting, report(name, 1))
    put(waiting, report("a", 2))
    assert taken(waiting) == [("a", 2), ("b", 1)]
    put(waiting, report("c", 2))
    assert taken(waiting) == [("c", 2)]
