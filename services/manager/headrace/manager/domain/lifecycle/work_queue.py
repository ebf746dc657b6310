"""Work queue of the services loop: changed services, services in transition, and a page of all others in turn. Pure.

Reconciling all services in each pass would cost as much as there are; the page repairs missed changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.common.contracts.ids import ServiceId


class WorkQueue:
    """Work queue of one manager.

    A needless reconcile costs time; a missed change waits for the service's turn.
    """

    def __init__(self) -> None:
        self._due: dict[ServiceId, None] = {}
        self._under_way: dict[ServiceId, None] = {}
        self._draining: dict[ServiceId, None] = {}
        self._marks: Mapping[ServiceId, int] = {}

    def add_changed(self, marks: Mapping[ServiceId, int]) -> None:
        """Enqueue services with the mark of their last change, unless that mark was known before."""
        news = [service for service, mark in marks.items() if self._marks.get(service) != mark]
        self._marks = marks
        self._due.update(dict.fromkeys(news))

    def add(self, services: Iterable[ServiceId]) -> None:
        """Enqueue services whose turn it is, without a known change."""
        self._due.update(dict.fromkeys(services))

    def add_in_transition(self) -> None:
        """Enqueue services in transition: time alone may move them on."""
        self._due.update(self._under_way)

    def add_draining(self) -> None:
        """Enqueue draining services: app-proxies may have released their replicas."""
        self._due.update(self._draining)

    def take(self, most: int) -> list[ServiceId]:
        """Dequeue at most `most` services, longest waiting first."""
        taken = [service for service, _ in zip(self._due, range(most), strict=False)]
        for service in taken:
            del self._due[service]
        return taken

    @property
    def waiting(self) -> int:
        """Return the length of the queue."""
        return len(self._due)

    def reconciled(self, service: ServiceId, *, settled: bool, draining: bool) -> None:
        """Record the result of a reconcile: whether the service is `settled`, and whether it is `draining`."""
        for kept, holds in ((self._under_way, not settled), (self._draining, draining)):
            if holds:
                kept[service] = None
            else:
                kept.pop(service, None)

    def requeue(self, service: ServiceId) -> None:
        """Enqueue the service for the next pass."""
        self._due[service] = None

    def drop(self, services: Iterable[ServiceId]) -> None:
        """Drop deleted services."""
        for service in services:
            self._under_way.pop(service, None)
            self._draining.pop(service, None)
