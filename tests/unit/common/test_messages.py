from __future__ import annotations

import json
from uuid import UUID

import pytest

from headrace.common.bus.subjects import STREAMS
from headrace.common.contracts.ids import KernelId, ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.envelope import in_generation
from headrace.common.contracts.messages.logs import LogsRequest
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
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


def _spec() -> dict[str, object]:
    return {
        "image": "i",
        "command": ["serve"],
        "port": 8000,
        "model_path": "/models",
        "health_check": None,
        "environ": {"A": "x" * 60_000},
        "slots": {"cpu": "1", "mem": "1024"},
    }


def _kernel(number: int) -> dict[str, object]:
    ids = {name: str(new_uuid()) for name in ("kernel_id", "session_id", "service_id", "revision_id", "project_id")}
    return {**ids, "kind": "inference", "name": f"s{number}"}


def test_a_plan_has_each_spec_once_for_all_kernels_of_its_revision() -> None:
    kernels = [{**_kernel(n), "spec": "r"} for n in range(130)]
    plan = NodePlan.model_validate({"agent_id": "a", "generation": 1, "specs": {"r": _spec()}, "kernels": kernels})
    assert len(plan.encode()) < 130_000
    whole = NodePlan.decode(plan.encode()).resolved()
    assert [spec.name for spec in whole.values()] == [f"s{n}" for n in range(130)]
    assert {spec.command for spec in whole.values()} == {("serve",)}
    assert all(len(spec.environ["A"]) == 60_000 for spec in whole.values())


def test_a_plan_with_whole_kernels_as_0_1_made_them_means_the_same() -> None:
    kernel = _kernel(1)
    old = NodePlan.model_validate({"agent_id": "a", "generation": 1, "kernels": [{**kernel, **_spec()}]})
    new = NodePlan.model_validate(
        {"agent_id": "a", "generation": 1, "specs": {"r": _spec()}, "kernels": [{**kernel, "spec": "r"}]}
    )
    assert NodePlan.decode(old.encode()).resolved() == new.resolved()


def test_a_plan_that_lacks_a_spec_is_malformed() -> None:
    with pytest.raises(MalformedMessage, match="specs lacks r"):
        NodePlan.decode(
            json.dumps({"agent_id": "a", "generation": 1, "kernels": [{**_kernel(1), "spec": "r"}]}).encode()
        )


def test_a_table_in_another_generation_has_the_bytes_that_it_would_be_encoded_to() -> None:
    """Whatever a tenant writes, also the field's own text."""
    service, told = ServiceId(UUID(int=1)), 'a"generation":1,b'
    kernel = KernelSpec.model_validate({**_kernel(1), **_spec(), "environ": {"A": told}})
    tables: list[NodePlan | RouteTable | RuleTable] = [
        NodePlan(agent_id="generation", generation=1, kernels=(kernel,)),
        RouteTable(service_id=service, generation=1, name="generation", project_id=ProjectId(UUID(int=2))),
        RuleTable(service_id=service, generation=1),
    ]
    for table in tables:
        for generation in (1, 2, 10**12):
            wanted = table.model_copy(update={"generation": generation}).encode()
            assert in_generation(table.encode(), generation) == wanted
