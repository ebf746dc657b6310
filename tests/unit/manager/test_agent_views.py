"""What is shown of a machine, as agents of this and of other versions report it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from headrace.manager.domain.records.agents import Agent
from headrace.manager.views.agents import agent_detail, agent_view


def agent(machine: dict[str, Any]) -> Agent:
    none: dict[str, Any] = dict.fromkeys(
        ("lost_at", "plan_problem", "plan_key", "addresses", "address_problem", "cordon")
    )
    return Agent(
        **none,
        id="gpu-1",
        resource_group="default",
        architecture="x86_64",
        machine=machine,
        gpus=(),
        kernels=(),
        slots={},
        allocated={},
        last_seen_at=datetime(2026, 11, 30, tzinfo=UTC),
        plan_generation=1,
        applied_generation=1,
        labels={},
        draining=False,
    )


@pytest.mark.parametrize(
    ("instance", "checks"),
    [
        ({"checks": {"replica-ports": "nft is missing"}, "ready": False}, {"replica-ports": "nft is missing"}),
        ({"ready": True}, {}),
        (None, {}),
        ({"checks": ["of another form"]}, {}),
    ],
)
def test_checks_that_an_agent_does_not_pass_are_shown(instance: dict[str, Any] | None, checks: dict[str, str]) -> None:
    found = agent({"hostname": "gpu-1"} if instance is None else {"hostname": "gpu-1", "instance": instance})
    assert agent_detail(found).checks == agent_view(found).checks == checks
