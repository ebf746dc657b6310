"""Queries: the model store, and which folders' definition files are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from headrace.common.contracts import stored
from headrace.common.contracts.ids import FolderId, ProjectId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.model_store import StoreContent, StoreDetail, StoreEntry
from headrace.manager.domain.records.model_store import DueDefinitions, StoreModel
from headrace.manager.store import folders, rows

SQL = Queries.beside(__file__)
CLAIMED_FOR: Final = timedelta(minutes=10)
"""How long others leave a folder alone whose files are being read; then its reader is taken to have ended."""
READ_EVERY: Final = timedelta(days=1)
"""Files that came beside the API are read so often."""


async def claim_next(con: Connection) -> DueDefinitions | None:
    """Return the folder whose definition files are longest due; the next caller gets another one."""
    row = await con.fetchrow(SQL.claim_next, CLAIMED_FOR)
    return _due(row) if row else None


async def claim(con: Connection, folder_id: FolderId) -> DueDefinitions | None:
    """Return this folder, if its definition files are due and nobody reads them."""
    row = await con.fetchrow(SQL.claim, CLAIMED_FOR, folder_id)
    return _due(row) if row else None


async def rest(con: Connection, due: DueDefinitions) -> None:
    """Note that the files were read; those of a folder that changed meanwhile stay due."""
    await con.execute(SQL.rest, due.folder.id, due.until, READ_EVERY)


async def put(con: Connection, folder_id: FolderId, content: StoreContent) -> None:
    """Write what the folder's files say; nothing happens if the folder is gone."""
    documents = [one.model_dump(mode="json", exclude_defaults=True) for one in (content.entry, content.detail)]
    await con.execute(SQL.put, folder_id, content.digest, list(content.tasks), content.words, *documents)


async def remove(con: Connection, folder_id: FolderId) -> None:
    """Remove the folder from the store; nothing happens if it is not there."""
    await con.execute(SQL.remove, folder_id)


async def page(
    con: Connection,
    actor: Actor,
    *,
    project_id: ProjectId | None,
    text: str | None,
    task: str | None,
    after: UUID,
    limit: int,
) -> list[StoreModel]:
    """Return a page of the models that the caller sees, without their details."""
    visible = rows.visibility(actor)
    return [_model(row) for row in await con.fetch(SQL.page, *visible, after, limit, project_id, text, task)]


async def find(con: Connection, actor: Actor, folder_id: FolderId) -> StoreModel | None:
    """Return what the store has of a folder; None when it lacks a definition file."""
    row = await con.fetchrow(SQL.find, folder_id, *rows.visibility(actor))
    return _model(row) if row else None


def _due(row: Mapping[str, Any]) -> DueDefinitions:
    return DueDefinitions(folders.folder_of(row), row["definitions_due_at"], row["digest"])


def _model(row: Mapping[str, Any]) -> StoreModel:
    return StoreModel(
        folder=folders.folder_of(row),
        project=row["project"],
        size_bytes=row["stored_bytes"],
        files=row["stored_files"],
        shared_to_caller=row["shared_to_caller"],
        entry=stored.read(StoreEntry, row["entry"], offer=None, metadata=None),
        detail=stored.read(StoreDetail, row["detail"] or {}, models=(), sections=()),
    )
