"""What the command line says of stacks that keep nothing apart."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.cli.commands.stack_exposure import open_to_others
from headrace.cli.commands.stack_status import hints_of
from headrace.common.contracts.http.agents import AgentView
from headrace.common.contracts.http.services import ServiceView
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import Isolation
from tests.support.fakes.manager_api import service_view


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.internal"])
def test_a_stack_without_isolation_that_others_reach_is_warned_of(host: str) -> None:
    said = open_to_others("process", host)
    assert said is not None
    assert host in said
    assert "secret" in said
    assert "--runtime docker" in said
    assert open_to_others("docker", host) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_a_stack_of_ones_own_is_not(host: str) -> None:
    assert open_to_others("process", host) is None


def agents(*levels: str | None) -> list[AgentView]:
    """Machines, each with what keeps replicas apart there; None: its agent does not say."""
    return [
        AgentView(
            id=AgentId(f"agent-{number}"),
            status="alive",
            resource_group="default",
            hostname=f"host-{number}",
            architecture="x86_64",
            address="10.0.0.1",
            runtime="process",
            version="1",
            slots={"cpu": "8"},
            allocated={},
            plan_generation=1,
            applied_generation=1,
            last_seen_at=datetime(2026, 1, 1, tzinfo=UTC),
            isolation=None if level is None else Isolation.model_validate({"level": level, "text": "…"}),
        )
        for number, level in enumerate(levels)
    ]


def services(*projects: str) -> list[ServiceView]:
    """Services that serve, each of a project."""
    return [
        ServiceView.model_validate(service_view(f"s-{project}", project=project, phase="deployed"))
        for project in projects
    ]


def test_services_of_several_projects_on_machines_that_keep_nothing_apart_are_warned_of() -> None:
    (said,) = hints_of(agents("none", "firewall"), services("alpha", "beta", "beta"))
    assert "2 projects" in said
    assert "agent-0" in said
    assert "agent-1" not in said
    assert "docs/isolation.md" in said


def test_many_such_machines_are_named_by_the_first_few() -> None:
    (said,) = hints_of(agents(*["none"] * 500), services("alpha", "beta"))
    assert "agent-4 …" in said
    assert "agent-5" not in said


@pytest.mark.parametrize(
    ("levels", "projects"),
    [
        (["none"], ["alpha", "alpha"]),
        (["none"], []),
        (["firewall", "networks"], ["alpha", "beta"]),
        ([None], ["alpha", "beta"]),
        ([], ["alpha", "beta"]),
    ],
)
def test_one_project_or_machines_that_keep_them_apart_are_not(levels: list[str | None], projects: list[str]) -> None:
    assert hints_of(agents(*levels), services(*projects)) == []
