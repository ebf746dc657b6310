"""Reader of changed folders' definition files for the model store: reads, parses, writes what a list shows.

A list then reads rows only, and its cost follows its page. A folder is read again once it has changed, and once a day for
files that came beside the API.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain import model_store as contents
from headrace.manager.domain.definitions import filetext
from headrace.manager.domain.definitions.model_definition import DEFAULT_NAMES
from headrace.manager.domain.definitions.service_definition import FILE
from headrace.manager.domain.model_store import DefinitionFiles, StoreContent
from headrace.manager.domain.records.model_store import DueDefinitions
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.tree import Tree
from headrace.manager.store import model_store
from headrace.manager.usecases.parsing import ParserPool

_BY_NAMES = b"llama-cpp"
"""The runtime that is resolved by the names of a folder's files."""


class DefinitionReader:
    """Reads the definition files of folders that are due. Callers have authorised."""

    def __init__(self, pool: Pool, storage: FolderStorage, parsing: ParserPool) -> None:
        self._pool = pool
        self._storage = storage
        self._parsing = parsing

    async def read_next(self) -> bool:
        """Read the files of the folder that is longest due; False when none is. Raises Unavailable."""
        async with transaction(self._pool) as con:
            due = await model_store.claim_next(con)
        if due is not None:
            await self._read(due)
        return due is not None

    async def refresh(self, folder_id: FolderId) -> None:
        """Read the folder's files now if they are due and nobody reads them. Raises Unavailable."""
        async with transaction(self._pool) as con:
            due = await model_store.claim(con, folder_id)
        if due is not None:
            await self._read(due)

    async def _read(self, due: DueDefinitions) -> None:
        folder = due.folder
        files = await self._storage.call(partial(_files, self._storage.tree(folder.id)))
        digest = files.digest if files is not None else None
        content: StoreContent | None = None
        if files is not None and digest != due.digest:
            content = await self._parsing.run(folder.project_id, partial(contents.read, folder, files))
        async with transaction(self._pool) as con:
            await model_store.rest(con, due)
            if content is not None:
                await model_store.put(con, folder.id, content)
            elif files is None:
                await model_store.remove(con, folder.id)


def _files(tree: Tree) -> DefinitionFiles | None:
    """Return both definition files; None when one is missing. Blocks."""
    service = _content(tree, FILE)
    if service is None:
        return None
    for file in DEFAULT_NAMES:
        model = _content(tree, file)
        if model is not None:
            names = tuple(tree.names()) if _BY_NAMES in service else ()
            return DefinitionFiles(file, model, service, names)
    return None


def _content(tree: Tree, file: str) -> bytes | None:
    with suppress(NotFound, Conflict):  # a directory or a link in its place is no file
        return tree.read((file,), limit=filetext.MAX_FILE_BYTES)
    return None
