"""Model URIs of specs: what a URI leads to now, and the folder that holds its files."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from headrace.common.contracts import model_uri
from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.messages.plans import NO_FOLDER
from headrace.common.contracts.model_uri import ModelSource, scheme_of
from headrace.common.contracts.problems import InvalidRequest, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain import model_source
from headrace.manager.domain.model_source import Listing, SourceError
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.staging import new_bytes
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.sources.credentials import Credential
from headrace.manager.sources.source import Sources
from headrace.manager.store import folders, imports, projects
from headrace.manager.usecases.project_limiter import ProjectLimiter
from headrace.manager.usecases.storage_account import StorageAccount

LOOK_S: Final = 20.0
"""How long a request waits for a source."""


@dataclass(frozen=True)
class FoundModel:
    """What a model URI leads to."""

    folder_id: FolderId
    folder_name: str
    source: ModelSource
    snapshot_id: SnapshotId | None
    """The content, where it was imported already."""
    names: tuple[str, ...]
    """Names of the files at the top."""
    contents: dict[str, bytes]
    """Contents of the asked files that are there."""


class ModelSources:
    """Looks at the sources of model URIs. Callers have authorised."""

    def __init__(self, pool: Pool, storage: FolderStorage, sources: Sources, account: StorageAccount) -> None:
        self._pool = pool
        self._storage = storage
        self._sources = sources
        self._account = account
        self._turns = ProjectLimiter(work="look at model URIs", reason=ApiReason.MODEL_SOURCE_UNAVAILABLE)

    def host_path(self, project: Project, uri: str) -> str:
        """Return the path on the machines that a `file://` URI names. Raises InvalidRequest for one that the project may not use."""
        path = model_uri.host_path(uri)
        if allowed := self._sources.policy.why_not_path(path, project.name):
            raise InvalidRequest.of("model_uri", uri, allowed)
        return path

    async def find(
        self,
        project: Project,
        uri: str,
        asked: tuple[str, ...],
        own: Credential | None,
        *,
        limit: int,
        dry_run: bool = False,
    ) -> FoundModel:
        """Return what the URI leads to now, with at most `limit` + 1 bytes of each of the `asked` files that it has.

        `own`: the credential that the project's secret is; None: that of the operator. Nothing is imported yet, but there is
        room for it. A `dry_run` makes no folder for the files: where there is none yet, it has the id NO_FOLDER. Raises
        InvalidRequest for a source that cannot be used, Unavailable for one that does not answer, QuotaExceeded,
        InsufficientStorage.
        """
        if allowed := self._sources.policy.why_not_scheme(scheme_of(uri)):
            raise InvalidRequest.of("model_uri", uri, f"{allowed} (setting model_uri_schemes)")
        async with self._turns.of(project.id):
            listing, contents = await self._look(project, uri, asked, own, limit)
        folder_id, name = await self._folder(project, uri, dry_run=dry_run)
        source = ModelSource(
            uri=uri,
            version=listing.version,
            import_id=model_source.import_id(folder_id, listing.version),
            size_bytes=listing.size_bytes,
            files=len(listing.files),
        )
        snapshot_id = await self._imported(folder_id, source)
        if snapshot_id is None:
            await self._check_room(project, folder_id, listing)
        return FoundModel(folder_id, name, source, snapshot_id, listing.top_names, contents)

    async def _look(
        self, project: Project, uri: str, asked: tuple[str, ...], own: Credential | None, limit: int
    ) -> tuple[Listing, dict[str, bytes]]:
        try:
            async with asyncio.timeout(LOOK_S), self._sources.opened(uri, project.name, own) as source:
                listing = await source.listing()
                wanted = [file for file in listing.files if file.path in asked]
                return listing, {file.path: await source.small(file, limit=limit) for file in wanted}
        except TimeoutError:
            text = f"the source of the model did not answer within {LOOK_S:g} s"
            raise Unavailable(text, reason=ApiReason.MODEL_SOURCE_UNAVAILABLE) from None
        except SourceError as error:
            if error.lasting:
                raise InvalidRequest.of("model_uri", error.text, "a source that this installation can read") from None
            raise Unavailable(error.text, reason=ApiReason.MODEL_SOURCE_UNAVAILABLE) from None

    async def _folder(self, project: Project, uri: str, *, dry_run: bool) -> tuple[FolderId, str]:
        """Return id and name of the folder for the files of the URI; it is made where there is none."""
        async with self._pool.acquire() as con:
            found = await folders.of_source(con, project.id, uri)
        if found is None and dry_run:
            return NO_FOLDER, model_source.folder_name(uri)
        if found is None:
            found = await self._make_folder(project, uri)
        return found.id, found.name

    async def _make_folder(self, project: Project, uri: str) -> Folder:
        async with transaction(self._pool) as con:
            await projects.lock(con, project.id)
            if (found := await folders.of_source(con, project.id, uri)) is not None:
                return found
            await self._account.check_folders(con, project)
            return await folders.insert(con, project.id, model_source.folder_name(uri), "model", source=uri)

    async def _imported(self, folder_id: FolderId, source: ModelSource) -> SnapshotId | None:
        async with self._pool.acquire() as con:
            found = (await imports.of(con, [source.import_id])).get(source.import_id)
        if found is None or found.snapshot_id is None:
            return None
        there = partial(self._storage.snapshots.is_there, folder_id, found.snapshot_id)
        return found.snapshot_id if await self._storage.call(there) else None

    async def _check_room(self, project: Project, folder_id: FolderId, listing: Listing) -> None:
        more = await self._storage.call(
            partial(new_bytes, self._storage.snapshots, self._storage.tree(folder_id), folder_id, listing)
        )
        await self._storage.call(partial(self._storage.room.check, "the model", more))
        async with transaction(self._pool) as con:
            await self._account.check(con, project.id, StorageUsage(more, len(listing.files)))
