"""Use cases of lists of services: pages in an order, and counts.

Status and phase are told by replicas and app-proxies, so the database knows neither: both are computed of the services that
pass the other filters, a bounded number a request. So a list in order of status is three lists, one of each status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from headrace.common.contracts.http.service_lists import ServiceCounts, ServicePage
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.vocabulary import SERVICE_PHASES, SERVICE_STATUSES, ServiceStatus
from headrace.common.contracts.wording import shown
from headrace.common.db.pool import Connection, Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.domain.lifecycle.status import Reachability, StatusOfService, status_of
from headrace.manager.domain.list_cursor import read_cursor, write_cursor
from headrace.manager.domain.records.service_lists import Position, ServiceFilter, ServiceOrder
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.store import service_lists, services
from headrace.manager.usecases.context import project_for
from headrace.manager.usecases.folder_access import folder_for
from headrace.manager.usecases.ports import AppProxies
from headrace.manager.usecases.reachability import reachability
from headrace.manager.views.services import service_view

WORST_FIRST: Final[tuple[ServiceStatus, ...]] = ("unhealthy", "degraded", "healthy")
"""Order of a list by status."""
BATCH = 100
EXAMINED = 500
"""Services per request of which a page computes status and phase; it ends there."""
MAX_COUNTED = 2_000
"""Services per request of which counts compute status and phase."""


@dataclass(frozen=True)
class Asked:
    """Filters of a request, as callers write them: projects and folders by name or id."""

    chosen: ServiceFilter
    project: str | None = None
    folder: str | None = None
    status: ServiceStatus | None = None

    @property
    def by_state(self) -> bool:
        """Whether it filters by what the database does not know."""
        return self.status is not None or self.chosen.phase is not None

    def passes(self, state: StatusOfService) -> bool:
        """Return whether a service with this status and phase is asked for."""
        return self.status in (None, state.status) and self.chosen.phase in (None, state.phase)


@dataclass(frozen=True)
class _Part:
    """One of the lists of which a page is made, one after the other: that of a status, or the only one."""

    asked: Asked
    order: ServiceOrder
    after: Position | None
    of_status: ServiceStatus | None = None

    def in_all(self, place: Position) -> Position:
        """Return the place in the whole list of a place in this one."""
        return place if self.of_status is None else Position(self.of_status, place.service_id)


@dataclass(frozen=True)
class _Examined:
    """A service whose status was computed."""

    place: Position
    facts: ServiceFacts
    state: StatusOfService
    reach: Reachability


class ServiceLists:
    """Use cases that list and count services."""

    def __init__(self, pool: Pool, proxies: AppProxies, clock: Clock, *, proxy_url: str) -> None:
        self._pool = pool
        self._proxies = proxies
        self._clock = clock
        self._proxy_url = proxy_url.rstrip("/")

    async def page(
        self, actor: Actor, asked: Asked, order: ServiceOrder, *, cursor: str | None, limit: int
    ) -> ServicePage:
        """Return the visible services that pass the filters, in this order. Raises NotFound, InvalidRequest.

        A page may have fewer than `limit` items, even none, and a next one: the search for a status ends after
        `EXAMINED` services.
        """
        found: list[_Examined] = []
        examined = 0
        parts = _parts(asked, order, _place(order, cursor))
        size = BATCH if asked.by_state or order.sort == "status" else limit + 1
        async with self._pool.acquire() as con:
            chosen = await _resolved(con, actor, asked)
            total = None if asked.by_state else await service_lists.count(con, actor, chosen)
            for part in parts:
                after = part.after
                while len(found) <= limit:
                    places = await service_lists.places(con, actor, chosen, part.order, after=after, limit=size)
                    passing = (one for one in await self._examine(con, places) if part.asked.passes(one.state))
                    found += [replace(one, place=part.in_all(one.place)) for one in passing]
                    if len(places) < size:
                        break
                    after = places[-1]
                    examined += size
                    if examined >= EXAMINED and len(found) <= limit:
                        return self._page(found, total, write_cursor(order.sort, part.in_all(after)))
        further = write_cursor(order.sort, found[limit - 1].place) if len(found) > limit else None
        return self._page(found[:limit], total, further)

    async def counts(self, actor: Actor, asked: Asked) -> ServiceCounts:
        """Return how many of the visible services that pass the filters have which status and phase. Raises NotFound, InvalidRequest."""
        states: list[StatusOfService] = []
        order, examined = ServiceOrder(), 0
        async with self._pool.acquire() as con:
            chosen = await _resolved(con, actor, asked)
            places = await service_lists.places(con, actor, chosen, order, after=None, limit=BATCH)
            while places and examined < MAX_COUNTED:
                states += [one.state for one in await self._examine(con, places) if asked.passes(one.state)]
                examined += len(places)
                places = await service_lists.places(con, actor, chosen, order, after=places[-1], limit=BATCH)
        by_status = Counter(state.status for state in states)
        by_phase = Counter(state.phase for state in states)
        return ServiceCounts(
            counted=len(states),
            complete=not places,
            by_status={status: by_status[status] for status in SERVICE_STATUSES},
            by_phase={phase: by_phase[phase] for phase in SERVICE_PHASES},
        )

    async def _examine(self, con: Connection, places: Sequence[Position]) -> list[_Examined]:
        """Return the services at these places, with the status of each."""
        by_id = {place.service_id: place for place in places}
        listed = await service_lists.facts(con, list(by_id))
        replicas = await services.replicas(con, by_id)
        now, found = self._clock(), list[_Examined]()
        for facts in listed:
            service = facts.service
            reach = reachability(self._proxies, service)
            state = status_of(facts, replicas[service.id], reach, now)
            found.append(_Examined(by_id[service.id], facts, state, reach))
        return found

    def _page(self, found: Sequence[_Examined], total: int | None, further: str | None) -> ServicePage:
        items = tuple(service_view(one.facts, one.state, one.reach, proxy_url=self._proxy_url) for one in found)
        return ServicePage(items=items, next=further, total=total)


def _parts(asked: Asked, order: ServiceOrder, after: Position | None) -> list[_Part]:
    """Return the lists of which a page after this place is made."""
    if order.sort != "status":
        return [_Part(asked, order, after)]
    statuses = WORST_FIRST if order.direction == "asc" else WORST_FIRST[::-1]
    oldest = ServiceOrder("created", order.direction)
    begun = statuses.index(cast("ServiceStatus", after.key)) if after is not None else 0
    return [
        _Part(
            replace(asked, status=status),
            oldest,
            Position(after.service_id, after.service_id) if after is not None and after.key == status else None,
            status,
        )
        for status in statuses[begun:]
        if asked.status in (None, status)
    ]


def _place(order: ServiceOrder, cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    place = read_cursor(order.sort, cursor)
    if place is None:
        raise InvalidRequest.of("cursor", shown(cursor), f"`next` of a page that is sorted by {order.sort}")
    return place


async def _resolved(con: Connection, actor: Actor, asked: Asked) -> ServiceFilter:
    """Return the filter with the ids of the project and the folder that are named. Raises NotFound, InvalidRequest."""
    project = None if asked.project is None else await project_for(con, actor, asked.project, "viewer")
    chosen = asked.chosen if project is None else replace(asked.chosen, project_id=project.id)
    if asked.folder is None:
        return chosen
    return replace(chosen, folder_id=(await folder_for(con, actor, asked.folder, "read", project=asked.project)).id)
