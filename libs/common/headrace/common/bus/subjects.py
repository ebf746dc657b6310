"""Streams and their Direct Get subjects."""

from __future__ import annotations

from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable

STREAMS: dict[str, type[Message]] = {"PLANS": NodePlan, "ROUTES": RouteTable, "RULES": RuleTable}
"""Stream name → message whose last value per subject it stores."""


def stream_of(message: type[Message]) -> str:
    """Return the name of the stream that stores this kind of message."""
    return next(name for name, kind in STREAMS.items() if kind is message)


def direct_get(stream: str, subject: str | None = None) -> str:
    """Return the Direct Get subject of a stream: for pages of messages, or the last one of `subject`."""
    return ".".join(("$JS.API.DIRECT.GET", stream, *([subject] if subject is not None else [])))
