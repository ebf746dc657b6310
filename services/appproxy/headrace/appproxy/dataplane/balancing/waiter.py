"""Waiter: a request in a service's queue, as the queue's owner sees it.

A role, so that balancing knows no exchange.
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
        """What binds it to a replica, under session and prefix balance."""
        self.wait_until_s: float | None = None
        """How long it may wait, once it was to: over all its waits."""
        self.ticket: Ticket[Waiter] | None = None
        """Its place in the queue, while it waits."""
        self.queued_s: float | None = None
        """How long it waited, over all its waits."""

    @abstractmethod
    def send_to(self, replica: Replica) -> None:
        """Dispatch the request to this replica."""

    @abstractmethod
    def turned_away(self, refusal: Refusal) -> None:
        """Refuse the request: it left the queue without a replica."""
