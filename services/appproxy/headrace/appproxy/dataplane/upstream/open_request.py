"""Open request: interface by which a replica cuts, moves or times out its requests.

It is an interface, so that upstream does not depend on the exchange.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from headrace.common.contracts.reasons.proxy import ProxyReason


class OpenRequest(ABC):
    """Request that is open on a replica."""

    @abstractmethod
    def cut_now(self, why: ProxyReason) -> None:
        """Cut the request now, with a reason, whatever has come of its response."""

    @abstractmethod
    def move(self) -> bool:
        """Move the request to another replica, if no response has begun and that is safe. Return True if it moved."""

    @abstractmethod
    def timed_out(self) -> None:
        """End the request for want of a response; counts as a failure of the replica."""
