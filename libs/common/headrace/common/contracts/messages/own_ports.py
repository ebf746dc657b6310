"""Manager → app-proxy: whether a port can be a service's own."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.envelope import Message

MAX_WHY = 300
"""Characters of why a port cannot be opened."""


class OwnPortRequest(Message):
    """Manager → app-proxy: can you open this port? Asked before a service gets it as its own."""

    subject: ClassVar = "rpc.proxy.{proxy_id}.own-port"
    v: Literal[1] = 1
    proxy_id: ProxyId
    port: Annotated[int, Field(ge=1, le=65_535)]


class OwnPortReply(Message):
    """Reply to OwnPortRequest."""

    subject: ClassVar = "_reply"
    v: Literal[1] = 1
    why_not: Annotated[str, StringConstraints(max_length=MAX_WHY)] | None = None
    """Why it cannot be opened. None: it can, or is open for a service already."""
