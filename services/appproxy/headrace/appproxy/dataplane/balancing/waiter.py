"""Waiter: a request that is to get a replica, as the load balancer and the queue see it.

A role, so that balancing knows no exchange.
"""

from __future__ import annotations

from abc import abstractmethod

from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.balancing.fair_queue import Ticket
from headrace.appproxy.dataplane.upstream.open_request import OpenRequest
from headrace.appproxy.dataplane.upstream.replica import Replica


class Waiter(OpenRequest):
    """Asks a backend for a replica, at once or by its queue."""

    replica: Replica | None = None
    """Which it is on, if any."""
    tried: frozenset[str] = frozenset()
    """Replicas that this request failed on."""
    affinity_key: int | None = None
    """What binds it to a replica, under session and prefix balance."""
    wait_until_s: float | None = None
    """How long it may wait in the queue, once it was to: over all its waits."""
    ticket: Ticket[Waiter] | None = None
    """Its place in the queue, while it waits."""
    queued_s: float | None = None
    """How long it waited, over all its waits."""

    @property
    @abstractmethod
    def caller_key(self) -> str:
        """Whose request it is: callers share a queue fairly."""

    @property
    @abstractmethod
    def share(self) -> int:
        """Its caller's weight in the queue."""

    @abstractmethod
    def send_to(self, replica: Replica) -> None:
        """It is admitted: go to this replica."""

    @abstractmethod
    def turned_away(self, refusal: Refusal) -> None:
        """It waits no more, and goes to no replica."""
