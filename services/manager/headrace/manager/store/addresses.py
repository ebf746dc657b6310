"""Queries: allowed addresses of machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.addresses import Claim

SQL = Queries.beside(__file__)


async def claim(con: Connection, claims: Sequence[Claim]) -> dict[str, str]:
    """Claim machines' first addresses, one machine per address unless it is shared.

    Return the owner of each address that was taken.
    """
    await con.execute(SQL.lock_claims)
    first: dict[str, Claim] = {}
    for one in claims:
        if not one.shared:
            first.setdefault(one.address, one)
    asked = [one for one in claims if one.shared or first[one.address] is one]
    rows = [{"agent_id": one.machine, "address": one.address, "shared": one.shared} for one in asked]
    taken = {row["agent_id"]: row["owner"] for row in await con.fetch(SQL.claim, rows) if row["owner"] is not None}
    for one in claims:
        if not one.shared and (winner := first[one.address]) is not one:
            taken[one.machine] = taken.get(winner.machine, winner.machine)
    return taken


async def note(con: Connection, problems: Mapping[str, str | None]) -> list[str]:
    """Store why machines' addresses are refused, or that they are accepted. Return the machines where that changed."""
    rows = [{"agent_id": machine, "problem": text} for machine, text in problems.items()]
    return [row["id"] for row in await con.fetch(SQL.note, rows) if row["due"]]


async def set_allowed(con: Connection, machine: str, allowed: Sequence[str] | None) -> bool:
    """Set the allowed addresses; None: the next one that the machine reports. False when there is no such machine."""
    return await con.fetchval(SQL.set, machine, None if allowed is None else list(allowed)) is not None
