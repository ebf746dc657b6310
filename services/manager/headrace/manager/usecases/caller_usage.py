"""Use case of callers' usage of a service or project: how much each used, was refused, and has left."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.usage import CallerUsage
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.store import caller_usage
from headrace.manager.usecases.context import make_page, project_for, service_for
from headrace.manager.views.usage import caller_usage_view


class CallersUsage:
    """Use case of callers' usage."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def page(
        self, actor: Actor, service: str, *, window: timedelta, after: UUID, limit: int
    ) -> Page[CallerUsage]:
        """Return a page of the tokens and clients that may call a service. Raises NotFound, Forbidden."""
        now = self._clock()
        async with self._pool.acquire() as con:
            facts = (await service_for(con, actor, service, "viewer")).service
            found = await caller_usage.page(
                con, facts.id, facts.project_id, since=now - window, after=after, limit=limit + 1
            )
        default = RateLimits.model_validate(facts.caller_limits)
        return make_page(found, limit, lambda one: caller_usage_view(one, default, now), lambda one: one.id)

    async def page_of_project(
        self, actor: Actor, project: str, *, window: timedelta, after: UUID, limit: int
    ) -> Page[CallerUsage]:
        """Return a page of the tokens of a project, and what they used of all its services. Raises NotFound, Forbidden."""
        now = self._clock()
        async with self._pool.acquire() as con:
            project_id = (await project_for(con, actor, project, "viewer")).id
            found = await caller_usage.page_of_project(
                con, project_id, since=now - window, after=after, limit=limit + 1
            )
        return make_page(found, limit, lambda one: caller_usage_view(one, RateLimits(), now), lambda one: one.id)
