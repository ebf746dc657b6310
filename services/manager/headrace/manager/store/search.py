"""Queries: search over everything that a caller may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headrace.common.contracts.vocabulary import FoundKind
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.found import Found
from headrace.manager.store import rows

SQL = Queries.beside(__file__)
_STATEMENTS: Final[Mapping[FoundKind, str]] = {
    "service": SQL.service,
    "folder": SQL.folder,
    "project": SQL.project,
    "machine": SQL.machine,
    "user": SQL.user,
}


async def find(con: Connection, actor: Actor, kind: FoundKind, text: str, *, limit: int) -> list[Found]:
    """Return things of a kind that have the text in them, the closest names first."""
    found = await con.fetch(_STATEMENTS[kind], text, limit, *rows.visibility(actor))
    return [Found(kind=kind, **row) for row in found]
