"""Manager → agent: a kernel's log."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from headrace.common.contracts.ids import AgentId, KernelId
from headrace.common.contracts.messages.envelope import Message


class LogsRequest(Message):
    """Manager → agent: send a kernel's log to `reply_to`.

    The last `tail` lines (None: all stored ones), with `follow` also new ones.
    """

    subject: ClassVar = "rpc.agent.{agent_id}.logs"
    v: Literal[1] = 1
    agent_id: AgentId
    kernel_id: KernelId
    tail: Annotated[int | None, Field(ge=0, le=1_000_000)] = 2000
    follow: bool = False
    since: str | None = None
    """Send lines from this time on only (UTC, as in the lines). An agent that does not know it sends earlier ones
    too."""
    reply_to: str
    """Subject of the chunks, `LogChunk.subject_for(…)`, to which the reader subscribes."""


class LogsAccepted(Message):
    """Reply to LogsRequest: log chunks follow, or the reason why not."""

    subject: ClassVar = "_reply"
    v: Literal[1] = 1
    accepted: bool
    detail: str = ""
    found: NonNegativeInt | None = None
    """With `allowed`: the limit of concurrent log readers is reached; a later request may be accepted."""
    allowed: NonNegativeInt | None = None


class LogChunk(Message):
    """Log lines, each `<RFC 3339 UTC timestamp> <text>`. Sent as a request: the empty reply is the back-pressure.

    `reader` is a random id of the requester.
    """

    subject: ClassVar = "logs.agent.{agent_id}.{reader}"
    v: Literal[1] = 1
    sequence: NonNegativeInt
    lines: tuple[str, ...] = ()
    eof: bool = False
    error: str | None = None
