"""Use cases of resumable uploads: received bytes stay, and the next request continues there (tus 1.0 core and creation)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from headrace.common.contracts.http.folders import UploadView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.problems import ChecksumMismatch, Conflict, InvalidRequest, NotFound, TooLarge
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import FilesState
from headrace.manager.domain.object_limits import DEFAULT_LIMITS, ObjectLimits
from headrace.manager.domain.paths import modified_ns, split_path
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.records.uploads import Upload
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.listing import moment
from headrace.manager.folders.partials import Appender
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.store import folders
from headrace.manager.usecases.context import as_id, make_page, record_of
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.receiving import receive
from headrace.manager.usecases.storage_account import StorageAccount
from headrace.manager.views.uploads import upload_view

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLOWEST_DISK_BYTES_S = 20_000_000
_CLEANED_AT_ONCE = 1000


class Uploads:
    """Use cases of resumable uploads. `idle_s`: timeout for the next bytes of a sender."""

    def __init__(
        self,
        pool: Pool,
        storage: FolderStorage,
        folder_cases: Folders,
        account: StorageAccount,
        *,
        max_bytes: int,
        kept_for: timedelta,
        idle_s: float = 60.0,
        limits: ObjectLimits = DEFAULT_LIMITS,
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._folders = folder_cases
        self._account = account
        self.max_bytes = max_bytes
        self._kept_for = kept_for
        self._idle_s = idle_s
        self._limits = limits

    async def create(
        self,
        actor: Actor,
        reference: str,
        project: str | None,
        path: str,
        size_bytes: int,
        sha256: str | None,
        modified: str = "",
    ) -> Upload:
        """Create an upload of `size_bytes` to `path`. An empty file is complete at once.

        It counts for the project's quota from here on, also the part that replaces a file, until it is complete. Raises
        NotFound, Forbidden, TooLarge, InvalidRequest for a bad path or digest, Conflict when the path is not free,
        QuotaExceeded, InsufficientStorage.
        """
        names = split_path(path, field="Upload-Metadata: path")
        if size_bytes > self.max_bytes:
            raise TooLarge(f"the file has {size_bytes} bytes; allowed: {self.max_bytes}", limit=self.max_bytes)
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise InvalidRequest.of("Upload-Metadata: sha256", sha256[:80], "64 hexadecimal digits in lower case")
        folder = await self._folders.find(actor, reference, project, "write")
        await self._storage.call(partial(self._storage.tree(folder.id).check_free, names))
        await self._storage.call(partial(self._storage.room.check, path, size_bytes))
        async with transaction(self._pool) as con:
            # one at a time, so that the count holds
            await self._account.check(con, folder.project_id, StorageUsage(size_bytes, len(names)))
            there = await folders.open_uploads(con, folder.project_id)
            object_limits.check("the project", "open uploads", there, self._limits.uploads_per_project)
            upload = await folders.insert_upload(
                con, folder.id, "/".join(names), size_bytes, sha256, actor.user_id, modified_ns(modified)
            )
        await self._storage.call(partial(self._storage.partials.create, upload.id))
        if size_bytes == 0:
            async with self._storage.opened(partial(self._open, upload)) as appender:
                await self._finish(actor, folder, upload, appender)
        return upload

    async def page(
        self, actor: Actor, reference: str, project: str | None, *, after: UUID, limit: int
    ) -> Page[UploadView]:
        """Return a page of the folder's incomplete uploads, oldest first. Raises NotFound."""
        folder = await self._folders.find(actor, reference, project, "read")
        async with self._pool.acquire() as con:
            found = await folders.uploads_of(con, folder.id, after=after, limit=limit + 1)
        facts = await self._storage.call(partial(self._storage.partials.facts, [upload.id for upload, _ in found]))

        def view(row: tuple[Upload, str]) -> UploadView:
            upload, by = row
            there = facts.get(upload.id)
            written = upload.created_at if there is None else moment(there.st_mtime)
            received = there.st_size if there else 0
            return upload_view(upload, by, received_bytes=received, written_at=written, kept_for=self._kept_for)

        return make_page(found, limit, view, lambda row: row[0].id)

    async def offset(self, actor: Actor, reference: str, project: str | None, upload_id: str) -> tuple[Upload, int]:
        """Return the upload and its offset (bytes received). Raises NotFound."""
        _, upload = await self._find(actor, reference, project, upload_id)
        return upload, await self._storage.call(partial(self._storage.partials.size, upload.id))

    async def append(
        self, actor: Actor, reference: str, project: str | None, upload_id: str, offset: int, body: AsyncIterator[bytes]
    ) -> int:
        """Write `body` at `offset` and return the new offset. The last byte moves the file into place.

        Bytes received before the sender disconnects are kept. Raises NotFound, Conflict for another offset, Locked
        while another request writes, TooLarge for more than was announced, ChecksumMismatch (then all of it is
        deleted).
        """
        folder, upload = await self._find(actor, reference, project, upload_id)
        async with self._storage.opened(partial(self._open, upload)) as appender:
            at = await self._storage.call(appender.size)
            if at != offset:
                raise Conflict(f"the upload stands at {at}, not at {offset}", offset=at)
            at = await self._receive(appender, upload, at, body)
            if at == upload.size_bytes:
                await self._finish(actor, folder, upload, appender)
            return at

    async def cancel(self, actor: Actor, reference: str, project: str | None, upload_id: str) -> None:
        """Delete the upload. Raises NotFound, Locked while another request writes."""
        _, upload = await self._find(actor, reference, project, upload_id)
        async with self._storage.opened(partial(self._storage.partials.open, upload.id)):
            async with transaction(self._pool) as con:
                await folders.delete_upload(con, upload.id)
            await self._storage.call(partial(self._storage.partials.remove, upload.id))

    async def clean(self) -> int:
        """Delete abandoned uploads, at most a thousand, and return how many."""
        stale = partial(
            self._storage.partials.stale, older_than_s=self._kept_for.total_seconds(), limit=_CLEANED_AT_ONCE
        )
        old = set(await self._storage.call(stale))
        async with self._pool.acquire() as con:
            begun = await folders.uploads_before(con, self._kept_for, limit=_CLEANED_AT_ONCE)
        for upload_id in begun:
            if not await self._storage.call(partial(self._storage.partials.exists, upload_id)):
                old.add(upload_id)
        if old:
            async with transaction(self._pool) as con:
                await folders.delete_uploads(con, list(old))
        for upload_id in old:
            await self._storage.call(partial(self._storage.partials.remove, upload_id))
        return len(old)

    async def _find(self, actor: Actor, reference: str, project: str | None, upload_id: str) -> tuple[Folder, Upload]:
        identifier: UUID = as_id(upload_id, "upload")
        folder = await self._folders.find(actor, reference, project, "write")
        async with self._pool.acquire() as con:
            upload = await folders.upload(con, folder.id, identifier)
        if upload is None:
            raise NotFound(f"there is no upload {upload_id}")
        return folder, upload

    async def _receive(self, appender: Appender, upload: Upload, at: int, body: AsyncIterator[bytes]) -> int:
        async def take(part: bytes) -> None:
            nonlocal at
            if at + len(part) > upload.size_bytes:
                raise TooLarge(f"more than the announced {upload.size_bytes} bytes", limit=upload.size_bytes)
            await self._storage.call(partial(appender.write, part, what=upload.path, left_bytes=upload.size_bytes - at))
            at += len(part)

        await receive(body, take, idle_s=self._idle_s, kept="what did is kept")
        return at

    async def _finish(self, actor: Actor, folder: Folder, upload: Upload, appender: Appender) -> None:
        if upload.sha256 is not None:
            digest = await self._storage.call(appender.sha256, timeout_s=60 + upload.size_bytes / _SLOWEST_DISK_BYTES_S)
            if digest != upload.sha256:
                await self._forget(upload)
                raise ChecksumMismatch(f"{upload.path} arrived with SHA-256 {digest}, announced was {upload.sha256}")
        await self._storage.call(appender.sync)
        reservation = new_uuid()
        await self._account.touch(folder, reservation)
        tree = self._storage.tree(folder.id)
        put = partial(tree.put, appender.path, upload.path.split("/"), modified_ns=upload.modified_ns)
        try:
            identity = await self._storage.call(put)
        except (Conflict, NotFound):  # no later part could help
            async with transaction(self._pool) as con:  # directories that were made on its way
                await self._account.settle(con, folder, reservation, tree.change)
            await self._forget(upload)
            raise
        async with transaction(self._pool) as con:
            await folders.delete_upload(con, upload.id)
            await self._account.settle(con, folder, reservation, tree.change)
            details: dict[str, Any] = {
                "folder": folder.name,
                "folder_id": str(folder.id),
                "path": upload.path,
                "bytes": upload.size_bytes,
            }
            after, scope = FilesState(path=upload.path, bytes=upload.size_bytes), Scope(folder.project_id)
            await record_of(con, actor, "file.uploaded", scope, before=None, after=after, **details)
        if (sha256 := appender.known_sha256()) is not None and folder.usage_mode == "model":
            await self._storage.call(partial(self._storage.snapshots.known.add, folder.id, [(identity, sha256)]))

    def _open(self, upload: Upload) -> Appender:
        return self._storage.partials.open(upload.id)

    async def _forget(self, upload: Upload) -> None:
        async with transaction(self._pool) as con:
            await folders.delete_upload(con, upload.id)
        await self._storage.call(partial(self._storage.partials.remove, upload.id))
