"""Failure of an attempt, before any byte of a response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headrace.common.contracts.reasons.proxy import ProxyReason

FailureKind = Literal[
    ProxyReason.CONNECT_FAILED,  # refused, unreachable, name unknown: nothing was sent
    ProxyReason.CONNECT_TIMEOUT,
    ProxyReason.CONNECTION_LOST,  # reset or closed before the first byte
    ProxyReason.REPLICA_UNREACHABLE,  # its machine acknowledged nothing
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
    """True if it was sent on a reused connection."""
    seconds: float = 0.0
    """Time from having a connection to the failure."""
