"""Machines, for operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from headrace.common.contracts.http.agent_drains import AgentDrainView, StartDrain
from headrace.common.contracts.http.agents import (
    AgentDetail,
    AgentView,
    ChangeLabels,
    CordonAgent,
    RemovedAgent,
    UpdateAgent,
)
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.client import WaitReason
from headrace.common.text.counting import count
from headrace.sdk.errors import WaitFailedError
from headrace.sdk.transport import Transport, segment
from headrace.sdk.waiting import polled

_NAMED: Final = 5
"""Services that a reason speaks of one by one."""
_LATE_LOOKS: Final = 10
"""Looks at a finished drain that wait for the last reports of app-proxies."""
_ENDED: Final = {"cancelled": "uncordoned", "removed": "removed"}


class Agents:
    """Client of `/v1/agents`: machines, for operators."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, label: str | None = None) -> Iterator[AgentView]:
        """Yield all agents, or those with labels: `KEY=VALUE` or `KEY`, with commas between them."""
        return self._transport.items(AgentView, "/v1/agents", {"label": label})

    def get(self, agent: str) -> AgentDetail:
        """Return one agent with its GPUs and kernels."""
        return self._transport.one(AgentDetail, "GET", f"/v1/agents/{segment(agent)}")

    def update(self, agent: str, body: UpdateAgent, *, if_match: str | None = None) -> AgentDetail:
        """Set the resource group of the agent's machine, and the addresses of its replicas from its next report on (operators)."""
        return self._transport.one(AgentDetail, "PATCH", f"/v1/agents/{segment(agent)}", body=body, if_match=if_match)

    def cordon(self, agent: str, *, reason: str | None = None, if_match: str | None = None) -> AgentDetail:
        """Place nothing new on the agent's machine (operators); what runs there goes on.

        `reason`: None keeps that of a machine that is cordoned already; "" takes it away.
        """
        body = CordonAgent() if reason is None else CordonAgent(reason=reason)
        return self._transport.one(AgentDetail, "PUT", f"{_of(agent)}/cordon", body=body, if_match=if_match)

    def uncordon(self, agent: str, *, if_match: str | None = None) -> AgentDetail:
        """Place sessions on the agent's machine again (operators)."""
        return self._transport.one(AgentDetail, "DELETE", f"{_of(agent)}/cordon", if_match=if_match)

    def drain(self, agent: str, *, message: str = "", if_match: str | None = None) -> AgentDrainView:
        """Cordon the agent's machine and move its replicas elsewhere (operators); see `wait_drained`."""
        return self._transport.one(
            AgentDrainView, "POST", f"{_of(agent)}/drain", body=StartDrain(message=message), if_match=if_match
        )

    def drain_of(self, agent: str) -> AgentDrainView:
        """Return the machine's newest drain, also one that is over."""
        return self._transport.one(AgentDrainView, "GET", f"{_of(agent)}/drain")

    def wait_drained(
        self,
        agent: str,
        *,
        timeout_s: float = 3600.0,
        every_s: float = 1.0,
        progress: Callable[[AgentDrainView], None] = lambda _: None,
    ) -> AgentDrainView:
        """Wait until the machine's newest drain is over and all app-proxies told what it cost. Return it.

        A missing last report of an app-proxy is waited for a few seconds more, and then left out. Raises WaitTimeoutError with
        what it waits for, WaitFailedError when it was cancelled.
        """
        seen = polled(
            lambda: self.drain_of(agent),
            reason=drain_reason,
            what=f"drain of agent {agent}",
            timeout_s=timeout_s,
            every_s=every_s,
            transport=self._transport,
        )
        late = 0
        for drain in seen:
            progress(drain)
            if drain.status in {"cancelled", "removed"}:
                why = Reason.of(WaitReason.CANCELLED, f"the drain was ended: the agent was {_ENDED[drain.status]}")
                raise WaitFailedError(f"agent {agent}: {why.text}", reason=why)
            late += drain.status == "finished"
            if drain.receipt.complete or late > _LATE_LOOKS:
                return drain
        raise AssertionError  # polled() ends by an exception alone

    def label(self, agent: str, labels: Mapping[str, str | None], *, if_match: str | None = None) -> AgentDetail:
        """Set labels of the agent's machine, and with None take them away (operators)."""
        body = ChangeLabels(labels=dict(labels))
        return self._transport.one(AgentDetail, "PATCH", f"{_of(agent)}/labels", body=body, if_match=if_match)

    def remove(self, agent: str, *, force: bool = False, reason: str = "", if_match: str | None = None) -> None:
        """Remove an agent on which nothing runs (operators): its reports are refused from now on.

        `force`: although something ran there when it fell silent, which is replaced at once.
        """
        self._transport.send(
            "DELETE", _of(agent), query={"force": force or None, "reason": reason or None}, if_match=if_match
        )

    def removed(self) -> Iterator[RemovedAgent]:
        """Yield the agents that were removed."""
        return self._transport.items(RemovedAgent, "/v1/removed-agents")

    def admit(self, agent: str) -> None:
        """Accept reports of a removed agent again (operators)."""
        self._transport.send("DELETE", f"/v1/removed-agents/{segment(agent)}")


def drain_reason(drain: AgentDrainView) -> Reason:
    """Return what a drain waits for, in one text."""
    if drain.reason is not None and not drain.services:
        return drain.reason
    waits = [f"{one.name}: {one.reason.text}" for one in drain.services[:_NAMED]]
    further = len(drain.services) - len(waits)
    more = [count(further, "more service")] if further > 0 else []
    first = [drain.reason.text] if drain.reason is not None else []
    return Reason.read(
        drain.services[0].reason.code if drain.services else "finished", "; ".join([*first, *waits, *more])
    )


def _of(agent: str) -> str:
    return f"/v1/agents/{segment(agent)}"
