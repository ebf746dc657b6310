"""Waiting until app-proxies refuse what was revoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headrace.common.contracts.http.tokens import RevocationView
from headrace.sdk.transport import Transport

_EVERY_S: Final = 0.2


def until_in_force(transport: Transport, look: Callable[[], RevocationView], *, timeout_s: float) -> RevocationView:
    """Look until it is in force everywhere or is not followed, or `timeout_s` is over; return what was seen last."""
    until = transport.clock() + timeout_s
    while (seen := look()).in_force is False and transport.clock() < until:
        transport.sleep(_EVERY_S)
    return seen
