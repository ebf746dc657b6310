"""Use cases of the files and directories in folders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from headrace.common.contracts.http.folders import FileView, Move
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.problems import InvalidRequest, PreconditionFailed, row
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import FilesState
from headrace.manager.domain.paths import split_path
from headrace.manager.domain.records.folders import FileEntry, Folder
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders import moving
from headrace.manager.folders.listing import moment
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.tree import SMALL_BYTES, OpenFile, Tree
from headrace.manager.folders.writing import write_file
from headrace.manager.usecases.context import check_match
from headrace.manager.usecases.folders import Folders, record_of_folder
from headrace.manager.usecases.storage_account import StorageAccount
from headrace.manager.views.folders import file_view

MAX_WRITTEN_BYTES: Final = SMALL_BYTES
"""Most bytes of a file that one request writes; larger ones are uploads."""
Only = Literal["new", "there"]
"""Whether a file may be written only where there is none, or only where there is one."""
T = TypeVar("T")
_REMOVAL_S = 600.0


class Files:
    """Use cases of the files and directories in folders. `project` disambiguates a folder's name that several projects use."""

    def __init__(self, pool: Pool, storage: FolderStorage, folder_cases: Folders, account: StorageAccount) -> None:
        self._pool = pool
        self._storage = storage
        self._folders = folder_cases
        self._account = account

    async def page(
        self,
        actor: Actor,
        reference: str,
        project: str | None,
        path: str,
        *,
        recursive: bool,
        everything: bool,
        after: str,
        limit: int,
    ) -> Page[FileView]:
        """Return a page of the entries at `path`.

        Raises NotFound, Conflict; Unavailable at the project's limit of concurrent listings.
        """
        names = split_path(path, empty=True)
        folder = await self._folders.find(actor, reference, project, "read")
        listing = partial(
            self._storage.tree(folder.id).files,
            names,
            recursive=recursive,
            everything=everything,
            after=after,
            limit=limit + 1,
        )
        end = await self._folders.turns.take(folder.project_id)
        found, more = await self._storage.call(listing, ended=end)
        items = tuple(file_view(entry) for entry in found[:limit])
        return Page(items=items, next=found[:limit][-1].path if more else None)

    @asynccontextmanager
    async def opened(self, actor: Actor, reference: str, project: str | None, path: str) -> AsyncIterator[OpenFile]:
        """Yield a file open for reading. Raises NotFound, Conflict when it is a directory."""
        names = split_path(path)
        folder = await self._folders.find(actor, reference, project, "read")
        async with self._storage.opened(partial(self._storage.tree(folder.id).open_file, names)) as file:
            yield file

    async def blocking(self, function: Callable[[], T]) -> T:
        """Run a blocking call of an open file in a thread."""
        return await self._storage.call(function)

    async def write(
        self, actor: Actor, reference: str, project: str | None, path: str, content: bytes, only: Only | None
    ) -> tuple[FileView, bool]:
        """Write a small file as a whole; return it, and whether nothing was there.

        A file is replaced if its entity tag is one of the caller's If-Match, where there are such. Raises PreconditionFailed
        for another one, and if it is not as `only` says; NotFound, Forbidden, QuotaExceeded, Conflict, InsufficientStorage.
        """
        names = split_path(path)
        folder = await self._folders.find(actor, reference, project, "write")
        shown = "/".join(names)

        def check(tag: str | None) -> None:
            if only == "new" and tag is not None:
                raise _failed("If-None-Match", "*", f'no file at {shown}; there is one with the entity tag "{tag}"')
            if only == "there" and tag is None:
                raise _failed("If-Match", "an entity tag", f"none, as there is no file at {shown}")
            if tag is not None:
                check_match(actor, shown, tag)

        tree, reservation = self._storage.tree(folder.id), new_uuid()
        needed = StorageUsage(len(content), len(names))
        await self._account.reserve(folder, reservation, needed, step=StorageUsage())
        writing = partial(write_file, tree, self._storage.partials, folder.id, new_uuid(), names, content, check)
        written = await self._change(folder, tree, reservation, writing)
        if folder.usage_mode == "model":  # only those are pinned by revisions
            known = [(written.identity, written.sha256)]
            await self._storage.call(partial(self._storage.snapshots.known.add, folder.id, known))
        state = FilesState(path=shown, files=1, bytes=len(content))
        await self._record(actor, folder, "file.uploaded", None, state, path=shown, bytes=len(content))
        entry = FileEntry(shown, "file", len(content), moment(written.identity.modified_ns / 1e9))
        return file_view(entry, written.sha256[:32]), written.new

    async def delete(self, actor: Actor, reference: str, project: str | None, path: str) -> None:
        """Delete a file, or a directory with its content. Raises NotFound, Forbidden."""
        names = split_path(path)
        folder = await self._folders.find(actor, reference, project, "write")
        tree, reservation = self._storage.tree(folder.id), new_uuid()
        end = await self._folders.turns.take(folder.project_id)
        try:
            await self._account.touch(folder, reservation)
        except BaseException:
            end()
            raise
        await self._change(folder, tree, reservation, partial(tree.delete, names), ended=end)
        await self._record(actor, folder, "file.deleted", FilesState(path=path), None, path=path)

    async def make_directory(
        self, actor: Actor, reference: str, project: str | None, path: str
    ) -> tuple[FileView, bool]:
        """Create a directory, and those above it; return it, and whether it was missing.

        Raises NotFound, Forbidden, QuotaExceeded, Conflict for a file on its way.
        """
        names = split_path(path)
        folder = await self._folders.find(actor, reference, project, "write")
        tree, reservation = self._storage.tree(folder.id), new_uuid()
        await self._account.reserve(folder, reservation, StorageUsage(files=len(names)), step=StorageUsage())
        new = await self._change(folder, tree, reservation, partial(moving.make_directory, tree, names))
        if new:
            made = FilesState(path="/".join(names))
            await self._record(actor, folder, "directory.created", None, made, path=made.path)
        return file_view(await self._storage.call(partial(tree.entry, names))), new

    async def move(self, actor: Actor, reference: str, project: str | None, asked: Move) -> FileView:
        """Move a file, or a directory with its content, to another path of the folder, where nothing may be; return it.

        Raises NotFound, Forbidden, InvalidRequest for a directory into itself, QuotaExceeded, Conflict.
        """
        names, to = split_path(asked.path), split_path(asked.to, field="to")
        if to[: len(names)] == names:
            raise InvalidRequest.of("to", asked.to, f"a path that is not {asked.path}, nor below it")
        folder = await self._folders.find(actor, reference, project, "write")
        tree, reservation = self._storage.tree(folder.id), new_uuid()
        await self._account.reserve(folder, reservation, StorageUsage(files=len(to) - 1), step=StorageUsage())
        await self._change(folder, tree, reservation, partial(moving.move, tree, names, to))
        was, now = FilesState(path="/".join(names)), FilesState(path="/".join(to))
        await self._record(actor, folder, "file.moved", was, now, path=was.path, to=now.path)
        return file_view(await self._storage.call(partial(tree.entry, to)))

    async def _change(
        self,
        folder: Folder,
        tree: Tree,
        reservation: UUID,
        function: Callable[[], T],
        *,
        ended: Callable[[], None] | None = None,
    ) -> T:
        """Change the folder's files in a thread, and count what that changed, also where it ended in the middle."""
        try:
            return await self._storage.call(function, timeout_s=_REMOVAL_S, ended=ended)
        finally:
            async with transaction(self._pool) as con:
                await self._account.settle(con, folder, reservation, tree.change)

    async def _record(
        self,
        actor: Actor,
        folder: Folder,
        action: str,
        before: FilesState | None,
        after: FilesState | None,
        **details: Any,
    ) -> None:
        async with transaction(self._pool) as con:
            await record_of_folder(con, actor, action, folder, before, after, **details)


def _failed(header: str, found: str, allowed: str) -> PreconditionFailed:
    return PreconditionFailed(f"{header}: found {found}; allowed: {allowed}", errors=[row(header, found, allowed)])
