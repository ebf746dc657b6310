"""Waits for revocations to be in force at all app-proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import RevocationReason
from headrace.sdk.transport import Transport, parsed

_EVERY_S: Final = 0.2
_NO_CONTENT: Final = 204
_NOT_TOLD = Reason.of(
    RevocationReason.NOT_TOLD,
    "this manager is of an older version and does not say where that is in force; app-proxies follow in a second",
)


def revoked(transport: Transport, path: str, credential: UUID | str, *, if_match: str | None) -> RevocationView:
    """Delete the token or client at `path` and return its revocation.

    Managers before 0.2 respond without content: then its state is unknown.
    """
    answer = transport.send("DELETE", path, if_match=if_match)
    if answer.status_code != _NO_CONTENT:
        return parsed(RevocationView, answer)
    try:
        known = UUID(str(credential))
    except ValueError:  # a client's name
        known = UUID(int=0)
    return RevocationView(id=known, in_force=None, reason=_NOT_TOLD)


def until_in_force(transport: Transport, look: Callable[[], RevocationView], *, timeout_s: float) -> RevocationView:
    """Poll a revocation until it is in force everywhere, or cannot be tracked, or `timeout_s` is over; return the last
    state.
    """
    until = transport.clock() + timeout_s
    while (seen := look()).in_force is False and transport.clock() < until:
        transport.sleep(_EVERY_S)
    return seen
