"""Use case of checks: whether a definition file, saved or not, is right."""

from __future__ import annotations

from functools import partial

from headrace.common.contracts.http.definitions import CheckDefinition, DefinitionCheck, DefinitionError
from headrace.common.contracts.problems import NotFound
from headrace.manager.domain.access import Actor
from headrace.manager.domain.definitions import checking, filetext
from headrace.manager.domain.paths import split_path
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.parsing import ParserPool


class Definitions:
    """Use case of checks of definition files. Nothing is changed."""

    def __init__(self, folders: Folders, storage: FolderStorage, parsing: ParserPool) -> None:
        self._folders = folders
        self._storage = storage
        self._parsing = parsing

    async def check(self, actor: Actor, reference: str, project: str | None, asked: CheckDefinition) -> DefinitionCheck:
        """Return what is wrong with the file. Raises NotFound, InvalidRequest for a path of no definition file."""
        folder = await self._folders.find(actor, reference, project, "read")
        names = split_path(asked.path, field="path")
        path = "/".join(names)
        checking.kind_of(path)
        content: bytes | None
        if asked.text is not None:
            content = asked.text.encode(errors="replace")
        else:
            read = partial(self._storage.tree(folder.id).read, names, limit=filetext.MAX_FILE_BYTES)
            content = await self._storage.call(read)
        if content is None:
            raise NotFound(f"folder {folder.name} has no file {path}")
        found = await self._parsing.run(folder.project_id, partial(checking.check, content, path))
        return DefinitionCheck(
            path=path,
            kind=found.kind,
            valid=not found.errors,
            names=found.names,
            problems=tuple(DefinitionError(**error) for error in found.errors),
        )
