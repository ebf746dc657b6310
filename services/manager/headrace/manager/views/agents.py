"""Views of machines."""

from __future__ import annotations

from typing import Any

from headrace.common.contracts import stored
from headrace.common.contracts.http.agents import AgentDetail, AgentView, Cordon
from headrace.common.contracts.http.agents import RemovedAgent as RemovedAgentView
from headrace.manager.domain.entity_tags import tag_of_agent
from headrace.manager.domain.records.agents import Agent, RemovedAgent

_UNKNOWN: dict[str, Any] = {"isolation": None, "disk": None, "engine_disk": None, "plan_problem": None, "checks": {}}
"""Placeholder for values that an agent of another version reported in another form."""


def agent_view(agent: Agent) -> AgentView:
    """Return a machine without its GPUs and kernels."""
    return stored.read(AgentView, _fields(agent), **_UNKNOWN)


def agent_detail(agent: Agent) -> AgentDetail:
    """Return a machine with its GPUs and kernels as last reported."""
    return stored.read(AgentDetail, {**_fields(agent), "gpus": agent.gpus, "kernels": agent.kernels}, **_UNKNOWN)


def removed_view(agent: RemovedAgent) -> RemovedAgentView:
    """Return a machine whose reports are refused."""
    return RemovedAgentView(**vars(agent))


def _fields(agent: Agent) -> dict[str, Any]:
    machine = agent.machine
    return {
        **{name: str(machine.get(name, "")) for name in ("hostname", "address", "runtime", "version")},
        **{name: machine.get(name) for name in ("isolation", "disk", "engine_disk")},
        "checks": (machine.get("instance") or {}).get("checks", {}),
        "id": agent.id,
        "status": "alive" if agent.lost_at is None else "lost",
        "resource_group": agent.resource_group,
        "architecture": agent.architecture,
        "slots": agent.slots,
        "allocated": agent.allocated,
        "last_seen_at": agent.last_seen_at,
        "plan_generation": agent.plan_generation,
        "plan_problem": agent.plan_problem,
        "plan_encrypted": agent.plan_key is not None,
        "applied_generation": agent.applied_generation,
        "addresses": agent.addresses,
        "address_problem": agent.address_problem,
        "cordon": None if agent.cordon is None else Cordon(**vars(agent.cordon)),
        "labels": agent.labels,
        "draining": agent.draining,
        "etag": tag_of_agent(agent),
    }
