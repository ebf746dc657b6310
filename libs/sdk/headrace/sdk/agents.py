"""Machines, for operators."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.common.contracts.http.agents import AgentDetail, AgentView, UpdateAgent
from headrace.sdk.transport import Transport, segment


class Agents:
    """Client of `/v1/agents`: machines, for operators."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[AgentView]:
        """Yield all agents."""
        return self._transport.items(AgentView, "/v1/agents")

    def get(self, agent: str) -> AgentDetail:
        """Return one agent with its GPUs and kernels."""
        return self._transport.one(AgentDetail, "GET", f"/v1/agents/{segment(agent)}")

    def update(self, agent: str, body: UpdateAgent) -> AgentDetail:
        """Set the addresses at which the agent's replicas may be (operators). Applies from its next report on."""
        return self._transport.one(AgentDetail, "PATCH", f"/v1/agents/{segment(agent)}", body=body)
