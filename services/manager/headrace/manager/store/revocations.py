"""Queries: revocations, by the generation of each route table that first contains them."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.store import publications

SQL = Queries.beside(__file__)


async def hold(con: Connection, subject: UUID) -> dict[ServiceId, int]:
    """Lock the route tables of this service, or of all services of this project, until the transaction ends.

    Return the lowest generation that the next table of each can have. It is read after this transaction, so it contains
    what this one writes.
    """
    subjects = {
        RouteTable.subject_for(service_id=row["id"]): ServiceId(row["id"])
        for row in await con.fetch(SQL.services_of, subject)
    }
    if not subjects:
        return {}
    published = await publications.lock(con, sorted(subjects))
    return {service_id: published[key].generation + 1 for key, service_id in subjects.items()}


async def note(con: Connection, credential_id: UUID, generations: dict[ServiceId, int]) -> None:
    """Store the generations from which on the token or client is refused."""
    if generations:
        await con.execute(SQL.note, credential_id, list(generations), list(generations.values()))


async def needed(con: Connection, credential_id: UUID, subject: UUID) -> dict[ServiceId, int]:
    """Return the generations from which on it is refused; empty when it is not tracked (any more)."""
    rows = await con.fetch(SQL.needed, credential_id, subject)
    return {ServiceId(row["service_id"]): row["generation"] for row in rows}
