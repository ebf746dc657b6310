"""Waiter: interface of a request in a service's queue.

It is an interface, so that balancing does not depend on the exchange.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.balancing.fair_queue import Ticket
from headrace.appproxy.dataplane.upstream.replica import Replica


class Waiter(ABC):
    """Queued request, as its backend sees it. `caller_key` and `share`: whose request it is, since callers share a
    queue fairly.
    """

    def __init__(self, caller_key: str, share: int, affinity_key: int | None) -> None:
        self.caller_key = caller_key
        self.share = share
        self.affinity_key = affinity_key
        """Affinity key, under session and prefix policies."""
        self.wait_until_s: float | None = None
        """Deadline of queueing, over all its waits; None before the first."""
        self.ticket: Ticket[Waiter] | None = None
        """Its ticket, while it is queued."""
        self.queued_s: float | None = None
        """Time queued, over all its waits."""

    @abstractmethod
    def send_to(self, replica: Replica) -> None:
        """Dispatch the request to this replica."""

    @abstractmethod
    def refuse(self, refusal: Refusal) -> None:
        """Refuse the request: it left the queue without a replica."""
