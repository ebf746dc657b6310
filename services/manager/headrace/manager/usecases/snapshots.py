"""Snapshots of model folders for revisions, and the manifests of folders."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar
from weakref import WeakValueDictionary

import structlog

from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.manifest import snapshot_files
from headrace.common.contracts.problems import Conflict, NotFound, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders.snapshots import Content, Unhashed
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.tree import Tree
from headrace.manager.metrics import SNAPSHOTS

T = TypeVar("T")
log = structlog.get_logger()
_MAKING_S: Final = 600.0
_TRIES: Final = 3
_MAX_NAMED: Final = 20
_MAX_REMEMBERED_FOLDERS: Final = 1000
FEW_FILES: Final = 5000
"""Up to so many files a folder is scanned each time; this takes less than 0.05 s."""
_SILENCE_S: Final = 10.0
_REST_S: Final = 1e-4
"""A larger one is scanned again after so many seconds for each file, about twelve times what it took."""


class FolderSnapshots:
    """Snapshots and manifests of folders. Callers have authorised.

    `hashing_s`: how long a call waits for missing digests. `answer_s`: how long for whether a folder has changed.
    """

    def __init__(
        self,
        storage: FolderStorage,
        *,
        hashing_s: float = 20.0,
        answer_s: float = 2.0,
        few_files: int = FEW_FILES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._hashing_s = hashing_s
        self._answer_s = answer_s
        self._few_files = few_files
        self._silent_until = 0.0
        self._monotonic = monotonic
        self._making: WeakValueDictionary[FolderId, asyncio.Lock] = WeakValueDictionary()
        self._large: OrderedDict[FolderId, tuple[float, SnapshotId | None]] = OrderedDict()
        """Content of large folders, and until when it is believed."""

    async def pin(self, folder_id: FolderId, read: Callable[[Tree], T]) -> tuple[SnapshotId, T]:
        """Return the snapshot of the folder's content as it is now, and what `read` returns of its files.

        The snapshot is made if it is not there. `read` blocks, and is called in a thread. Raises what it raises, NotFound,
        Conflict for too many files, Unavailable while digests of files are missing or the folder changes all the time,
        InsufficientStorage.
        """
        for _ in range(_TRIES):
            found = await self._storage.call(partial(self._look, folder_id, read))
            if isinstance(found, Unhashed):
                await self._hashed(folder_id, found)
            elif not isinstance(found, Content):
                return found
            elif await self._make(folder_id, found):
                made = self._tree(folder_id, found.snapshot_id)
                return found.snapshot_id, await self._storage.call(partial(read, made))
        text = f"the folder was changed {_TRIES} times while it was read; try again once nobody writes to it"
        raise Unavailable(text, reason=ApiReason.FOLDER_CHANGING)

    async def look(self, folder_id: FolderId, read: Callable[[Tree], T]) -> tuple[SnapshotId | None, T]:
        """Return the name of the folder's content as it is now, and what `read` returns of its files; nothing is made.

        None: files lack a digest, so their content is not known yet. Raises what `read` raises, NotFound, Conflict for too
        many files, Unavailable.
        """
        content = await self._storage.call(partial(self._storage.snapshots.content, folder_id))
        found = content.snapshot_id if isinstance(content, Content) else None
        return found, await self._storage.call(partial(read, self._storage.tree(folder_id)))

    async def manifest(self, folder_id: FolderId) -> bytes:
        """Return the folder's manifest as it is now, encoded. Raises as pin() does."""
        for _ in range(_TRIES):
            content = await self._storage.call(partial(self._storage.snapshots.content, folder_id))
            if isinstance(content, Content):
                return await self._storage.call(content.manifest)
            await self._hashed(folder_id, content)
        raise Unavailable("files of the folder are written to while they are read", reason=ApiReason.FOLDER_CHANGING)

    async def pinned_manifest(self, folder_id: FolderId, snapshot_id: SnapshotId) -> bytes:
        """Return the manifest of a snapshot, encoded. Raises NotFound."""
        opened = partial(self._storage.snapshots.open_manifest, folder_id, snapshot_id)
        async with self._storage.opened(opened) as file:
            return await self._storage.call(partial(file.read_at, 0, file.size_bytes))

    async def is_changed(self, folder_id: FolderId, since: SnapshotId) -> bool | None:
        """Return whether the folder has other content than the snapshot; None when the storage does not say soon.

        A service is shown without its storage too: one that hangs is not asked again for a while.
        """
        now = self._monotonic()
        valid_until, found = self._large.get(folder_id, (now, None))
        if valid_until <= now:
            if now < self._silent_until:
                return None
            look = partial(self._storage.snapshots.content, folder_id)
            try:
                content = await self._storage.call(look, timeout_s=self._answer_s)
            except (NotFound, Conflict):  # deleted; too many files by now
                return True
            except Unavailable as problem:
                self._silent_until = self._monotonic() + _SILENCE_S
                log.warning("folder_not_compared", folder=str(folder_id), why=problem.detail)
                return None
            found = content.snapshot_id if isinstance(content, Content) else None  # unknown files are others
            self._remember(folder_id, found, files=len(content.scan.files))
        return found != since

    def _remember(self, folder_id: FolderId, found: SnapshotId | None, *, files: int) -> None:
        self._large.pop(folder_id, None)
        if files > self._few_files:
            self._large[folder_id] = self._monotonic() + _REST_S * files, found
            while len(self._large) > _MAX_REMEMBERED_FOLDERS:
                self._large.popitem(last=False)

    def _look(self, folder_id: FolderId, read: Callable[[Tree], T]) -> tuple[SnapshotId, T] | Content | Unhashed:
        """Return the result of pin() where the snapshot is there: one call for a folder without changes. Else what it lacks."""
        content = self._storage.snapshots.content(folder_id)
        if isinstance(content, Unhashed) or not self._storage.snapshots.is_there(folder_id, content.snapshot_id):
            return content
        return content.snapshot_id, read(self._tree(folder_id, content.snapshot_id))

    def _tree(self, folder_id: FolderId, snapshot_id: SnapshotId) -> Tree:
        return self._storage.tree(snapshot_files(folder_id, snapshot_id))

    async def _make(self, folder_id: FolderId, content: Content) -> bool:
        """Make the snapshot; return False when the folder has changed since it was scanned."""
        lock = self._making.setdefault(folder_id, asyncio.Lock())
        async with lock:  # several creates at once make it once
            try:
                make = partial(self._storage.snapshots.make, folder_id, content)
                await self._storage.call(make, timeout_s=_MAKING_S)
            except Unavailable as problem:
                if problem.reason is not ApiReason.FOLDER_CHANGING:
                    raise
                return False
        if content.scan.left_out:
            log.info("snapshot_entries_skipped", folder=str(folder_id), entries=content.scan.left_out)
        SNAPSHOTS.labels("made").inc()
        return True

    async def _hashed(self, folder_id: FolderId, missing: Unhashed) -> None:
        """Wait until the job in the background has hashed the files. Raises Unavailable, with its progress."""
        for file in missing.overwritten[:_MAX_NAMED]:  # snapshots have it too, and are not what they were
            log.warning("snapshot_file_changed", folder=str(folder_id), path=file.path)
        job = self._storage.hashing.start(folder_id, missing.files)
        done, _ = await asyncio.wait([asyncio.wrap_future(job.ended)], timeout=self._hashing_s)
        if not done:
            raise job.unavailable()
