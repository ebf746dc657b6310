"""From a spec to what it means: folders found, their files read, defaults filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.problems import Conflict
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.definitions import filetext
from headrace.manager.domain.definitions.model_definition import DEFAULT_NAMES, Model, parse_definition
from headrace.manager.domain.definitions.service_definition import FILE, ServiceDefaults, parse_service_definition
from headrace.manager.domain.paths import split_path
from headrace.manager.domain.records import Folder, Project
from headrace.manager.domain.variants import resolve
from headrace.manager.domain.variants.resolve import FolderFacts, Inputs
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.tree import Tree
from headrace.manager.store import folders
from headrace.manager.usecases.context import folder_for
from headrace.manager.usecases.parsing import Parsing


@dataclass(frozen=True)
class Prepared:
    """A resolved spec and the folders that it depends on."""

    spec: RevisionSpec
    resolved: ResolvedSpec
    folder_ids: tuple[FolderId, ...]

    async def hold_folders(self, con: Connection) -> None:
        """Keep the folders until the transaction ends. Raises Conflict, with their names, when some were deleted."""
        if self.folder_ids and len(await folders.hold(con, self.folder_ids)) < len(set(self.folder_ids)):
            names = ", ".join(await folders.names_of_deleted(con, self.folder_ids))
            raise Conflict(f"folder {names} was deleted, and this revision needs it; nothing has changed")


class Resolver:
    """Resolves specs. Reads the database and the storage, and writes neither."""

    def __init__(self, pool: Pool, storage: FolderStorage) -> None:
        self._pool = pool
        self._storage = storage
        self._parsing = Parsing()

    async def resolve(self, actor: Actor, project: Project, spec: RevisionSpec, name: str) -> Prepared:
        """Resolve `spec` for a service called `name` in `project`.

        Raises NotFound for a folder that is not in the project, InvalidDefinition for a wrong file, InvalidRequest for
        fields that do not fit each other.
        """
        async with self._pool.acquire() as con:
            model = await folder_for(con, actor, spec.folder, "viewer", project=project) if spec.folder else None
            extra = [
                await folder_for(con, actor, mount.folder, "viewer", project=project) for mount in spec.extra_mounts
            ]
        inputs = await self._inputs(spec, name, model, extra)
        resolved = resolve.resolve(spec, inputs)
        return Prepared(spec, resolved, tuple(folder.id for folder in ([model] if model else []) + extra))

    async def _inputs(self, spec: RevisionSpec, name: str, model: Folder | None, extra: Sequence[Folder]) -> Inputs:
        others = tuple(FolderFacts(folder.id, folder.name, folder.usage_mode) for folder in extra)
        if model is None:
            return Inputs(name=name, extra=others)
        read = partial(_read, self._storage.tree(model.id), spec)
        files, names = await self._storage.call(read)
        definition, defaults = await self._parsing.run(model.project_id, partial(_parse, files, spec))
        facts = FolderFacts(model.id, model.name, model.usage_mode, names)
        return Inputs(name=name, folder=facts, definition=definition, defaults=defaults, extra=others)


@dataclass(frozen=True)
class _Files:
    """Contents of a folder's definition files; None where there is none."""

    definition: tuple[str, bytes] | None
    defaults: bytes | None


def _read(tree: Tree, spec: RevisionSpec) -> tuple[_Files, tuple[str, ...]]:
    """Read what the spec's runtime needs of the folder (blocks)."""
    definition = _definition(tree, spec) if spec.runtime == "custom" else None
    defaults = tree.read((FILE,), limit=filetext.MAX_FILE_BYTES)
    names = tuple(tree.names()) if spec.runtime == "llama-cpp" else ()
    return _Files(definition, defaults), names


def _parse(files: _Files, spec: RevisionSpec) -> tuple[Model | None, ServiceDefaults | None]:
    definition = parse_definition(files.definition[1], files.definition[0]) if files.definition else None
    defaults = parse_service_definition(files.defaults).get(spec.runtime) if files.defaults is not None else None
    return definition, defaults


def _definition(tree: Tree, spec: RevisionSpec) -> tuple[str, bytes]:
    candidates = (spec.definition_path,) if spec.definition_path else DEFAULT_NAMES
    for file in candidates:
        content = tree.read(split_path(file, field="definition_path"), limit=filetext.MAX_FILE_BYTES)
        if content is not None:
            return file, content
    wanted = " or ".join(candidates)
    raise filetext.refuse(candidates[0], [filetext.row("", "no such file in the folder", f"a file {wanted}")])
