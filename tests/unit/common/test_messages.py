from __future__ import annotations

import pytest

from headrace.common.bus.streams import STREAMS
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.messages.logs import LogsRequest
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import MalformedMessage, Problem


def test_a_message_knows_its_subject() -> None:
    plan = NodePlan(agent_id="agent-1", generation=1, kernels=())
    assert plan.address() == "plan.agent.agent-1"
    assert NodePlan.wildcard() == "plan.agent.*"
    assert NodePlan.decode(plan.encode()) == plan


def test_an_unknown_field_is_ignored_so_that_versions_can_mix() -> None:
    data = NodePlan(agent_id="a", generation=1, kernels=()).encode().replace(b"{", b'{"later":1,', 1)
    assert NodePlan.decode(data).generation == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"agent_id":"A B","generation":1,"kernels":[]}'])
def test_a_malformed_message_is_named_without_its_content(data: bytes) -> None:
    with pytest.raises(MalformedMessage) as error:
        NodePlan.decode(data)
    assert "NodePlan" in error.value.detail
    assert "A B" not in error.value.detail


def test_streams_keep_exactly_the_last_value_messages() -> None:
    assert {kind.wildcard() for kind in STREAMS.values()} == {"plan.agent.*", "route.*", "rules.*"}
    assert RouteTable in STREAMS.values()


def test_a_subject_cannot_be_smuggled_through_an_id() -> None:
    with pytest.raises(ValueError, match="agent_id"):
        LogsRequest(agent_id="a.>", kernel_id=KernelId(new_uuid()), reply_to="x")


def _all(cls: type[Problem]) -> list[type[Problem]]:
    return [cls, *(sub for child in cls.__subclasses__() for sub in _all(child))]


def test_every_problem_has_its_own_type() -> None:
    types = [problem.type for problem in _all(Problem)]
    assert len(types) == len(set(types))
