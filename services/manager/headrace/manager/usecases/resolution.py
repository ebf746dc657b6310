"""Spec resolver: reads the folders' definition files, and resolves.

Files are read without a database connection held; folders are locked again when the revision is created.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from headrace.common.contracts import wording
from headrace.common.contracts.messages.plans import NO_FOLDER
from headrace.common.contracts.model_uri import scheme_of
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret, secret_name
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain.definitions import filetext
from headrace.manager.domain.definitions.model_definition import (
    DEFAULT_NAMES,
    ChosenModel,
    choose,
    parse_definition,
)
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
from headrace.manager.domain.variants import resolve, spec_checks
from headrace.manager.domain.variants.inputs import FolderFacts, Inputs
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec
from headrace.manager.folders.tree import Tree
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.sources.credentials import Credential, credential_of
from headrace.manager.store import secrets
from headrace.manager.usecases.findings import Findings
from headrace.manager.usecases.model_sources import ModelSources
from headrace.manager.usecases.parsing import ParserPool
from headrace.manager.usecases.snapshots import FolderSnapshots
from headrace.manager.usecases.spec_parts import SpecParts


class Resolver:
    """Resolves specs."""

    def __init__(
        self, pool: Pool, snapshots: FolderSnapshots, sources: ModelSources, keys: SecretKeys, parsing: ParserPool
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._snapshots = snapshots
        self._sources = sources
        self._parsing = parsing

    async def resolve(self, spec: RevisionSpec, name: str, found: SpecParts) -> Resolution:
        """Return the resolved spec of a service called `name`, with a snapshot of the model folder as it is now.

        The definition files are the snapshot's. Raises InvalidDefinition for an invalid file, InvalidRequest for fields
        that contradict each other or secrets that are not there, Conflict, Unavailable and InsufficientStorage for what cannot be
        pinned.
        """
        resolution = await self.judge(spec, name, found, Findings())
        assert resolution is not None  # noqa: S101 - what is wrong was raised
        return resolution

    async def judge(
        self,
        spec: RevisionSpec,
        name: str,
        found: SpecParts,
        findings: Findings,
        pins: Sequence[PinnedSecret] = (),
    ) -> Resolution | None:
        """Return the same, or None with what is wrong in `findings`.

        `pins`: the secrets of the revision before, whose versions are kept where the spec names none. Where findings are
        gathered, nothing is made: no snapshot (the folder's files are read as they are now), and no folder for a model URI.
        """
        before = len(findings.found)
        inputs = await self._inputs(spec, name, found, findings, pins)
        with findings.noted():
            asked = asked_secrets(spec, inputs.defaults)
            inputs = replace(inputs, size=found.size, pins=await self._pins(found.project, asked, pins))
        named = {finding.field for finding in findings.found}
        with findings.noted():
            if len(findings.found) == before and found.all_of(spec):
                return resolve.resolve(spec, inputs)
            errors = [error for error in spec_checks.unfit(spec, inputs) if error["field"] not in named]
            if errors:  # those that can be told without what is missing
                raise wording.refusal(errors)
        return None

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
        self,
        spec: RevisionSpec,
        name: str,
        found: SpecParts,
        findings: Findings,
        before: Sequence[PinnedSecret],
    ) -> Inputs:
        mounts = zip(spec.extra_mounts, found.extra, strict=True)
        extra = tuple(_facts(folder) or FolderFacts(NO_FOLDER, mount.folder, "data") for mount, folder in mounts)
        folder = _facts(found.model)
        if folder is None and spec.folder is not None:
            return Inputs(name=name, folder=FolderFacts(NO_FOLDER, spec.folder, "model"), extra=extra)
        if folder is None and spec.model_uri is None:
            return Inputs(name=name, extra=extra)
        if folder is not None and folder.usage_mode != "model":  # it is refused below; its files do not matter
            return Inputs(name=name, folder=folder, extra=extra)
        field = "folder" if folder is not None else "model_uri"
        with findings.noted(field):
            content = await self._content(spec, found.project, folder, findings, before)
            parse = partial(_parse, content.files, spec, findings, field)
            definition, defaults = await self._parsing.run(found.project.id, parse)
            return Inputs(name=name, folder=content.facts, definition=definition, defaults=defaults, extra=extra)
        return Inputs(name=name, folder=folder, extra=extra)

    async def _content(
        self,
        spec: RevisionSpec,
        project: Project,
        folder: FolderFacts | None,
        findings: Findings,
        before: Sequence[PinnedSecret],
    ) -> _Content:
        """Return what the model's files are, and those of them that a spec is resolved by."""
        if folder is not None:
            look = self._snapshots.look if findings.gathers else self._snapshots.pin
            snapshot_id, (files, names) = await look(folder.id, partial(_read, spec))
            return _Content(replace(folder, files=names, snapshot_id=snapshot_id), files)
        uri = spec.model_uri or ""
        if scheme_of(uri) == "file":
            path = self._sources.host_path(project, uri)
            return _Content(FolderFacts(NO_FOLDER, "", "model", host_path=path))
        own = await self._own_credential(project, spec, uri, before)
        asked = (FILE, *_candidates(spec))
        found = await self._sources.find(
            project, uri, asked, own, limit=filetext.MAX_FILE_BYTES, dry_run=findings.gathers
        )
        facts = FolderFacts(found.folder_id, found.folder_name, "model", found.names, found.snapshot_id, found.source)
        return _Content(facts, found.contents)


@dataclass(frozen=True)
class _Content:
    """Where the model's files are, and contents of its definition files. None: nobody can read them here."""

    facts: FolderFacts
    files: Mapping[str, bytes] | None = None


def _facts(folder: Folder | None) -> FolderFacts | None:
    return None if folder is None else FolderFacts(folder.id, folder.name, folder.usage_mode)


def _read(spec: RevisionSpec, tree: Tree) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the definition files that the spec's runtime needs, and the names at the top. Blocks."""

    def content_of(file: str) -> bytes | None:
        return tree.read(tuple(file.split("/")), limit=filetext.MAX_FILE_BYTES)

    definitions = ((file, content_of(file)) for file in _candidates(spec))
    first = next(((file, content) for file, content in definitions if content is not None), None)
    contents = dict([first] if first else [])
    if (defaults := content_of(FILE)) is not None:
        contents[FILE] = defaults
    return contents, tuple(tree.names()) if spec.runtime == "llama-cpp" else ()


def _parse(
    files: Mapping[str, bytes] | None, spec: RevisionSpec, findings: Findings, field: str
) -> tuple[ChosenModel | None, ServiceDefaults | None]:
    definition = defaults = None
    if files is not None and spec.runtime == "custom":
        with findings.noted(field):
            file, content = _chosen(spec, files)
            definition = choose(parse_definition(content, file), spec.model, file)
    if files is not None and FILE in files:
        with findings.noted(field):
            defaults = parse_service_definition(files[FILE]).get(spec.runtime)
    return definition, defaults


def _candidates(spec: RevisionSpec) -> tuple[str, ...]:
    """Return the paths at which the model definition may be, if the runtime reads one."""
    if spec.runtime != "custom":
        return ()
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
