"""Open request, as its replica sees it: what may be cut, moved, or given up.

A role, so that upstream knows no exchange.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from headrace.common.contracts.reasons.proxy import ProxyReason


class OpenRequest(ABC):
    """A request that is open on a replica."""

    @abstractmethod
    def cut_now(self, why: ProxyReason) -> None:
        """End it now, whatever has come of its response, and say why."""

    @abstractmethod
    def move(self) -> bool:
        """Leave the replica for another one, if no response has begun and that is safe. Return whether it does."""

    @abstractmethod
    def timed_out(self) -> None:
        """No response came in time: that counts as a failure of the replica."""
