"""Use cases of usage: batches of app-proxies are stored, and sums of it told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from headrace.common.contracts.http.usage import UsageReport
from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.messages.usage import UsageBatch, UsageStored
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.vocabulary import UsageBy, UsageStep
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.usage import UsageFilter
from headrace.manager.domain.usage_interval import usage_interval
from headrace.manager.store import projects, usage
from headrace.manager.usecases.context import project_for, service_for
from headrace.manager.views.usage import usage_report

MAX_ITEMS: Final = 10_000
"""Rows of an answer, which has no pages: a bill is whole."""


class Usage:
    """Use cases of usage. Operators see all of it, others that of their projects."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def store(self, batch: UsageBatch) -> UsageStored:
        """Store a batch, unless it was stored before. Who may publish it is decided by the bus."""
        async with transaction(self._pool) as con:
            return UsageStored(added=await usage.store(con, batch))

    async def report(
        self,
        actor: Actor,
        *,
        project: str | None,
        service: str | None,
        by: UsageBy | None,
        step: UsageStep | None,
        since: datetime | None,
        until: datetime | None,
    ) -> UsageReport:
        """Return usage of a project, a service or all that the caller sees. Raises NotFound, Forbidden, InvalidRequest."""
        since, until = usage_interval(since, until, step, self._clock())
        async with self._pool.acquire() as con:
            only = None if service is None else (await service_for(con, actor, service, "viewer")).service.id
            seen = await _projects(con, actor, project)
            wanted = UsageFilter(since, until, step, by, projects=seen, service_id=only)
            found = await usage.summed(con, wanted, most=MAX_ITEMS + 1)
        if len(found) > MAX_ITEMS:
            raise InvalidRequest.of(
                "step", f"more than {MAX_ITEMS} rows", "a longer step, less time, or one project or service"
            )
        return usage_report(wanted, found)


async def _projects(con: Connection, actor: Actor, project: str | None) -> Sequence[ProjectId] | None:
    """Return the projects of which the caller sees usage, or of them the named one; None: all."""
    if project is not None:
        return [(await project_for(con, actor, project, "viewer")).id]
    if actor.operator:
        return actor.projects
    return [own.id for own, _ in await projects.of_caller(con, actor)]
