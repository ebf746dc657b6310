"""Queries: lists of services, in two steps: which are on a page, then what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.vocabulary import ServiceSort, SortOrder
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS
from headrace.manager.domain.records.service_lists import Position, ServiceFilter, ServiceOrder
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.store import rows
from headrace.manager.store.services import facts_of

SQL = Queries.beside(__file__)
_COLUMNS: Final[Mapping[ServiceSort, tuple[str, str]]] = {
    "created": ("id", "uuid"),
    "name": ("name", "text"),
    "updated": ("updated", "timestamptz"),
    "replicas": ("replicas", "integer"),
}
"""Column of `matching` that a sort means, and its type. Ids are in order of creation."""
_COMPARED: Final[Mapping[SortOrder, str]] = {"asc": ">", "desc": "<"}


async def places(
    con: Connection, actor: Actor, chosen: ServiceFilter, order: ServiceOrder, *, after: Position | None, limit: int
) -> list[Position]:
    """Return the places of the next services in the list, in its order."""
    column, kind = _COLUMNS[order.sort]
    # of constants only
    statement = f"select id, {column} as key from ({SQL.matching}) as matching"  # noqa: S608
    arguments: list[object] = [*_arguments(actor, chosen), limit]
    if after is not None:
        statement += f" where ({column}, id) {_COMPARED[order.direction]} ($14::{kind}, $15::uuid)"
        arguments += [after.key, after.service_id]
    statement += f" order by {column} {order.direction}, id {order.direction} limit $13"
    return [Position(row["key"], row["id"]) for row in await con.fetch(statement, *arguments)]


async def count(con: Connection, actor: Actor, chosen: ServiceFilter) -> int:
    """Return how many services are in the list."""
    statement = f"select count(*) from ({SQL.matching}) as matching"  # noqa: S608 - of constants only
    return int(await con.fetchval(statement, *_arguments(actor, chosen)))


async def facts(con: Connection, service_ids: Sequence[ServiceId]) -> list[ServiceFacts]:
    """Return these services, in this order; those that were deleted meanwhile are left out."""
    found = {row["id"]: facts_of(row) for row in await con.fetch(SQL.facts, service_ids)}
    return [found[service_id] for service_id in service_ids if service_id in found]


def _arguments(actor: Actor, chosen: ServiceFilter) -> tuple[object, ...]:
    return (
        *rows.visibility(actor),
        chosen.project_id,
        chosen.owner,
        chosen.text,
        chosen.tag,
        chosen.runtime,
        chosen.folder_id,
        chosen.agent,
        chosen.phase,
        MAX_FAILED_STARTS,
    )
