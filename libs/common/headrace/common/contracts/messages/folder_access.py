"""Agent → managers: access to the snapshots of folders that a machine's plan names."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.envelope import Message


class FolderAccessRequest(Message):
    """Agent → any manager: a token to fetch folders with.

    The subject is the agent's own: who may publish there is that agent. So it needs no other credential for HTTP.
    """

    subject: ClassVar = "rpc.manager.folder-access.{agent_id}"
    v: Literal[1] = 1
    agent_id: AgentId


class FolderAccess(Message):
    """Reply to FolderAccessRequest: a token for this agent, which every manager takes."""

    subject: ClassVar = "_reply"
    v: Literal[1] = 1
    token: str = Field(default="", repr=False)
    """Secret. Empty: refused, as `detail` says."""
    expires_in_s: NonNegativeInt = 0
    """A duration, since the clocks of two machines differ."""
    detail: str = ""
