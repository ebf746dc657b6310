"""Queries: what the callers of a service used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.usage import UsageOfCaller

SQL = Queries.beside(__file__)


async def page(
    con: Connection, service_id: ServiceId, project_id: ProjectId, *, since: datetime, after: UUID, limit: int
) -> list[UsageOfCaller]:
    """Return living tokens and clients of a service by id, with what they used of it since then, and today."""
    return [_caller(row) for row in await con.fetch(SQL.page, service_id, project_id, after, limit, since)]


async def page_of_project(
    con: Connection, project_id: ProjectId, *, since: datetime, after: UUID, limit: int
) -> list[UsageOfCaller]:
    """Return living tokens of a project by id, with what they used of all its services since then, and today."""
    return [_caller(row) for row in await con.fetch(SQL.page_of_project, project_id, after, limit, since)]


def _caller(row: Mapping[str, Any]) -> UsageOfCaller:
    return UsageOfCaller(**{**row, "limits": RateLimits.model_validate(row["limits"])})
