"""Work queue of the services loop: changed services, those under way, and a page of all others in turn. Pure.

Looking at all services in each pass would cost as much as there are; the page makes good what was missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headrace.common.contracts.ids import ServiceId


class Attention:
    """Work queue of one manager.

    A service that is looked at in vain costs time, one that is missed waits for its turn.
    """

    def __init__(self) -> None:
        self._due: dict[ServiceId, None] = {}
        self._under_way: dict[ServiceId, None] = {}
        self._draining: dict[ServiceId, None] = {}
        self._marks: Mapping[ServiceId, int] = {}

    def changed(self, marks: Mapping[ServiceId, int]) -> None:
        """Note services with the mark of their last change; those with the mark that they had before are not news."""
        news = [service for service, mark in marks.items() if self._marks.get(service) != mark]
        self._marks = marks
        self._due.update(dict.fromkeys(news))

    def turn(self, services: Iterable[ServiceId]) -> None:
        """Note services whose turn it is although nothing is known of a change."""
        self._due.update(dict.fromkeys(services))

    def time_passed(self) -> None:
        """Look again at what is under way: time alone may move it on."""
        self._due.update(self._under_way)

    def proxies_spoke(self) -> None:
        """Look again at what drains: app-proxies may have let go of it."""
        self._due.update(self._draining)

    def take(self, most: int) -> list[ServiceId]:
        """Return some that are due, those that waited longest first; they are due no more."""
        taken = [service for service, _ in zip(self._due, range(most), strict=False)]
        for service in taken:
            del self._due[service]
        return taken

    @property
    def waiting(self) -> int:
        """How many are due."""
        return len(self._due)

    def seen(self, service: ServiceId, *, settled: bool, draining: bool) -> None:
        """Note how it was found."""
        for kept, holds in ((self._under_way, not settled), (self._draining, draining)):
            if holds:
                kept[service] = None
            else:
                kept.pop(service, None)

    def again(self, service: ServiceId) -> None:
        """Look at it in the next pass."""
        self._due[service] = None

    def gone(self, services: Iterable[ServiceId]) -> None:
        """Forget what is deleted."""
        for service in services:
            self._under_way.pop(service, None)
            self._draining.pop(service, None)
