"""Failure of an attempt: how it ended without a byte of a response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.common.contracts.reasons.proxy import ProxyReason

FailureKind = Literal[
    ProxyReason.CONNECT_FAILED,  # refused, unreachable, name unknown: nothing was sent
    ProxyReason.CONNECT_TIMEOUT,
    ProxyReason.CONNECTION_LOST,  # reset or closed before the first byte
    ProxyReason.BAD_RESPONSE,
    ProxyReason.FIRST_BYTE_TIMEOUT,
    ProxyReason.ENGINE_UNAVAILABLE,  # its own 502 or 503
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Outcome of an attempt without a byte of a response."""

    kind: FailureKind
    text: str
    reused: bool = False
    """Whether it was sent on a connection that had served before."""
    seconds: float = 0.0
    """From having a connection to the failure."""
