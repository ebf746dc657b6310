"""Spec resolver: finds the folders, reads their definition files, and resolves.

Files are read without a database connection held; folders are locked again when the revision is created.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from headrace.common.contracts.messages.plans import NO_FOLDER
from headrace.common.contracts.model_uri import scheme_of
from headrace.common.contracts.problems import Conflict, InvalidRequest
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret, secret_name
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.definitions import filetext
from headrace.manager.domain.definitions.model_definition import DEFAULT_NAMES, Model, parse_definition
from headrace.manager.domain.definitions.service_definition import FILE, ServiceDefaults, parse_service_definition
from headrace.manager.domain.paths import split_path
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.secret_pins import (
    NAMED,
    NO_SECRETS,
    AskedSecret,
    SecretPins,
    asked_secrets,
    names_in_words,
    pinned,
    refreshed,
    registry_login,
)
from headrace.manager.domain.variants import resolve
from headrace.manager.domain.variants.resolve import FolderFacts, Inputs
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.folders.tree import Tree
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.sources.credentials import Credential, credential_of
from headrace.manager.store import folders, imports, secrets
from headrace.manager.usecases.context import folder_for
from headrace.manager.usecases.model_sources import ModelSources
from headrace.manager.usecases.parsing import ParserPool
from headrace.manager.usecases.snapshots import FolderSnapshots


@dataclass(frozen=True)
class SpecFolders:
    """Folders that a spec names; `extra` in the order of its mounts."""

    project: Project
    model: Folder | None
    extra: tuple[Folder, ...]


async def find_folders(con: Connection, actor: Actor, project: Project, spec: RevisionSpec) -> SpecFolders:
    """Return the folders that the spec names. Raises NotFound for one that is not in the project."""
    model = await folder_for(con, actor, spec.folder, "viewer", project=project) if spec.folder else None
    extra = [await folder_for(con, actor, mount.folder, "viewer", project=project) for mount in spec.extra_mounts]
    for field, folder in [("folder", model), *((f"extra_mounts[{at}].folder", one) for at, one in enumerate(extra))]:
        if folder is not None and folder.source is not None:
            raise InvalidRequest.of(
                field, f"{folder.name}, which is filled from {folder.source}", "model_uri with that URI"
            )
    return SpecFolders(project, model, tuple(extra))


async def hold_parts(con: Connection, resolved: ResolvedSpec) -> None:
    """Lock the folders and secrets of a revision until the transaction ends, and have the model imported that it needs.

    Raises Conflict, with their names, when some were deleted.
    """
    needed = tuple(mount.folder_id for mount in resolved.mounts if mount.host_path is None)
    if needed and len(await folders.hold(con, needed)) < len(set(needed)):
        names = ", ".join(await folders.names_of_deleted(con, needed))
        raise Conflict(f"folder {names} was deleted, and this revision needs it; nothing has changed")
    held = await secrets.hold(con, resolved.secrets)
    if gone := [pin for pin in resolved.secrets if (pin.secret_id, pin.version) not in held]:
        names = ", ".join(f"{pin.name} version {pin.version}" for pin in gone[:5])
        raise Conflict(f"secret {names} was deleted, and this revision needs it; nothing has changed")
    if resolved.source is not None and resolved.folder_id is not None:
        await imports.want(con, resolved.folder_id, resolved.source)


class Resolver:
    """Resolves specs."""

    def __init__(self, pool: Pool, snapshots: FolderSnapshots, sources: ModelSources, keys: SecretKeys) -> None:
        self._pool = pool
        self._keys = keys
        self._snapshots = snapshots
        self._sources = sources
        self._parsing = ParserPool()

    async def resolve(
        self, spec: RevisionSpec, name: str, found: SpecFolders, pins: Sequence[PinnedSecret] = ()
    ) -> ResolvedSpec:
        """Return the resolved spec of a service called `name`, with a snapshot of the model folder as it is now.

        The definition files are the snapshot's. `pins`: the secrets of the revision before, whose versions are kept where the
        spec names none. Raises InvalidDefinition for an invalid file, InvalidRequest for fields that contradict each other or
        secrets that are not there, Conflict, Unavailable and InsufficientStorage for what cannot be pinned.
        """
        inputs = await self._inputs(spec, name, found, pins)
        asked = asked_secrets(spec, inputs.defaults)
        return resolve.resolve(spec, replace(inputs, pins=await self._pins(found.project, asked, pins)))

    async def refresh_secrets(self, project: Project, resolved: ResolvedSpec) -> ResolvedSpec:
        """Return the resolved spec with the newest versions of its secrets, but for those of which it names a version.

        Raises InvalidRequest for one that is not there any more.
        """
        found = await self._pins(project, refreshed(resolved.secrets), ())
        after = resolved.model_copy(update={"secrets": found.secrets, "secret_bytes": found.bytes})
        resolve.check_size(after)
        return after

    async def _pins(self, project: Project, asked: Sequence[AskedSecret], before: Sequence[PinnedSecret]) -> SecretPins:
        if not asked:
            return NO_SECRETS
        names = {secret_name(one.reference).name for one in asked}
        async with self._pool.acquire() as con:
            known = await secrets.known(con, project.id, names)
            others = await secrets.names(con, project.id, most=NAMED + 1) if names - known.keys() else []
            found = pinned(asked, known, before, names_in_words(others, project.name))
            await self._check_logins(con, found.secrets)
        return found

    async def _check_logins(self, con: Connection, pins: Sequence[PinnedSecret]) -> None:
        """Raise InvalidRequest for a secret of a registry that is no login."""
        logins = [pin for pin in pins if pin.use == "registry"]
        sealed = await secrets.sealed(con, [(pin.secret_id, pin.version) for pin in logins])
        for pin in logins:
            key = (pin.secret_id, pin.version)
            if key in sealed and registry_login(self._keys.open(sealed[key], *key)) is None:
                raise InvalidRequest.of("pull_secret", f"{pin.name}, whose value is no login", "a secret USER:PASSWORD")

    async def _own_credential(
        self, project: Project, spec: RevisionSpec, uri: str, before: Sequence[PinnedSecret]
    ) -> Credential | None:
        """Return the credential that the spec's secret is. Raises InvalidRequest for none, or one of another form."""
        if spec.model_secret is None:
            return None
        asked = [AskedSecret("model_secret", "model", spec.model_secret)]
        (pin,) = (await self._pins(project, asked, before)).secrets
        key = (pin.secret_id, pin.version)
        async with self._pool.acquire() as con:
            sealed = await secrets.sealed(con, [key])
        found = credential_of(uri, self._keys.open(sealed[key], *key)) if key in sealed else None
        if found is None:
            allowed = "ACCESS_KEY_ID:SECRET_ACCESS_KEY" if scheme_of(uri) == "s3" else "that is a token"
            raise InvalidRequest.of("model_secret", f"{pin.name}, whose value has another form", f"a secret {allowed}")
        return found

    async def _inputs(
        self, spec: RevisionSpec, name: str, found: SpecFolders, before: Sequence[PinnedSecret]
    ) -> Inputs:
        model = found.model
        others = tuple(FolderFacts(folder.id, folder.name, folder.usage_mode) for folder in found.extra)
        if model is None and spec.model_uri is not None:
            return await self._of_uri(spec, name, found.project, spec.model_uri, others, before)
        if model is None:
            return Inputs(name=name, extra=others)
        if model.usage_mode != "model":  # it is refused below; its files do not matter
            return Inputs(name=name, folder=FolderFacts(model.id, model.name, model.usage_mode), extra=others)
        snapshot_id, (files, names) = await self._snapshots.pin(model.id, partial(_read, spec))
        definition, defaults = await self._parsing.run(model.project_id, partial(_parse, files, spec))
        facts = FolderFacts(model.id, model.name, model.usage_mode, names, snapshot_id)
        return Inputs(name=name, folder=facts, definition=definition, defaults=defaults, extra=others)

    async def _of_uri(
        self,
        spec: RevisionSpec,
        name: str,
        project: Project,
        uri: str,
        others: tuple[FolderFacts, ...],
        before: Sequence[PinnedSecret],
    ) -> Inputs:
        if scheme_of(uri) == "file":
            path = self._sources.host_path(project, uri)
            return Inputs(name=name, folder=FolderFacts(NO_FOLDER, "", "model", host_path=path), extra=others)
        asked = (FILE, *(_candidates(spec) if spec.runtime == "custom" else ()))
        own = await self._own_credential(project, spec, uri, before)
        found = await self._sources.find(project, uri, asked, own, limit=filetext.MAX_FILE_BYTES)
        definition = _chosen(spec, found.contents) if spec.runtime == "custom" else None
        files = _Files(definition, found.contents.get(FILE))
        parsed, defaults = await self._parsing.run(project.id, partial(_parse, files, spec))
        folder = found.folder
        facts = FolderFacts(folder.id, folder.name, "model", found.names, found.snapshot_id, found.source)
        return Inputs(name=name, folder=facts, definition=parsed, defaults=defaults, extra=others)


@dataclass(frozen=True)
class _Files:
    """Contents of a folder's definition files; None for a missing one."""

    definition: tuple[str, bytes] | None
    defaults: bytes | None


def _read(spec: RevisionSpec, tree: Tree) -> tuple[_Files, tuple[str, ...]]:
    """Read the definition files that the spec's runtime needs. Blocks."""
    definition = _definition(tree, spec) if spec.runtime == "custom" else None
    defaults = tree.read((FILE,), limit=filetext.MAX_FILE_BYTES)
    names = tuple(tree.names()) if spec.runtime == "llama-cpp" else ()
    return _Files(definition, defaults), names


def _parse(files: _Files, spec: RevisionSpec) -> tuple[Model | None, ServiceDefaults | None]:
    definition = parse_definition(files.definition[1], files.definition[0]) if files.definition else None
    defaults = parse_service_definition(files.defaults).get(spec.runtime) if files.defaults is not None else None
    return definition, defaults


def _definition(tree: Tree, spec: RevisionSpec) -> tuple[str, bytes]:
    contents = dict[str, bytes]()
    for file in _candidates(spec):
        content = tree.read(tuple(file.split("/")), limit=filetext.MAX_FILE_BYTES)
        if content is not None:
            contents[file] = content
            break
    return _chosen(spec, contents)


def _candidates(spec: RevisionSpec) -> tuple[str, ...]:
    """Return the paths at which the model definition may be."""
    if not spec.definition_path:
        return DEFAULT_NAMES
    return ("/".join(split_path(spec.definition_path, field="definition_path")),)


def _chosen(spec: RevisionSpec, contents: Mapping[str, bytes]) -> tuple[str, bytes]:
    candidates = _candidates(spec)
    for file in candidates:
        if file in contents:
            return file, contents[file]
    wanted = " or ".join(candidates)
    raise filetext.refuse(candidates[0], [filetext.row("", "no such file in the folder", f"a file {wanted}")])
