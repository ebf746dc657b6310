"""Folder cache of a machine: snapshots of model folders, fetched once, shared by replicas and revisions, bounded in size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog
from pydantic import ValidationError

from headrace.agent.domain.cache_room import CachedSnapshot, CacheState, NoRoom, Room, find_room
from headrace.agent.domain.fetch_requests import WantedObject
from headrace.agent.domain.snapshot_content import ManifestRefused, SnapshotContent, content_of
from headrace.agent.folder_cache.errors import CacheFull, SnapshotRefused
from headrace.agent.folder_cache.fetching import Fetcher
from headrace.agent.folder_cache.managers import ManagerFiles
from headrace.agent.folder_cache.objects import Objects
from headrace.agent.folder_cache.progress import FetchProgress, Say
from headrace.agent.folder_cache.threads import in_thread
from headrace.agent.folder_cache.trees import Trees
from headrace.agent.metrics import FOLDER_CACHE_BYTES, FOLDER_EVICTIONS, FOLDER_FETCHES
from headrace.common.contracts.ids import SnapshotId
from headrace.common.contracts.manifest import FolderManifest
from headrace.common.runtime.clock import Clock, Monotonic
from headrace.common.runtime.disk import free_bytes

log = structlog.get_logger()
T = TypeVar("T")
MAX_ENTRIES: Final = 1_000_000
"""Files that all cached snapshots together may have: the agent knows them by heart."""
MAX_MANIFESTS_REFUSED: Final = 3


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of the cache."""

    capacity_bytes: int
    reserve_bytes: int
    """So much of the disk stays free."""
    connections: int
    """Requests to managers at once."""


class _Work:
    """What is done for one snapshot: by one at a time, while the others who need it wait."""

    def __init__(self, monotonic: Monotonic) -> None:
        self.lock = asyncio.Lock()
        self.progress = FetchProgress(monotonic)
        self.users = 0
        self.reserved: dict[str, int] = {}
        """Objects that there is room for, and that are not here yet, with their sizes."""
        self.claimed: set[str] = set()
        """Those that it fetches now."""


class FolderCache:
    """Cache below `root`, of which no other process uses anything."""

    def __init__(
        self,
        root: Path,
        managers: ManagerFiles,
        limits: CacheLimits,
        *,
        in_use: Callable[[], Collection[str] | None],
        now: Clock,
        monotonic: Monotonic,
    ) -> None:
        """Make a cache, which reads what lies in `root` at its first use.

        `in_use`: snapshots that planned or running kernels need; None: not known now.
        """
        self._root = root
        self._managers = managers
        self._limits = limits
        self._in_use = in_use
        self._now = now
        self._monotonic = monotonic
        self._partial = root / "partial"
        self._threads = ThreadPoolExecutor(limits.connections + 1, thread_name_prefix="folder-cache")
        self._objects = Objects(root)
        self._trees = Trees(root, self._objects)
        self._fetcher = Fetcher(managers, self._objects, self._partial, self._threads, connections=limits.connections)
        self._snapshots: dict[str, CachedSnapshot] = {}
        self._held: dict[str, int] = {}
        self._trusted: set[str] = set()
        """Objects that are known to be on the disk; others were written before a crash, perhaps, and are read again."""
        self._work: dict[str, _Work] = {}
        self._loaded = False
        self._loading = asyncio.Lock()
        self._making_room = asyncio.Lock()
        self._fetched = asyncio.Event()

    async def tree(self, snapshot_id: SnapshotId, say: Say) -> Path:
        """Provide the read-only tree of a snapshot, fetched as far as it is not here; `say` hears the progress.

        Waits for managers as long as it takes. Raises SnapshotRefused, CacheFull, OSError.
        """
        await self._load()
        work = self._work.setdefault(snapshot_id, _Work(self._monotonic))
        work.users += 1
        work.progress.add(say)
        try:
            async with work.lock:
                await self._provide(snapshot_id, work)
        finally:
            work.progress.remove(say)
            self._leave(snapshot_id, work)
        return self._trees.path(snapshot_id)

    async def relieve(self) -> None:
        """Let snapshots leave that nothing needs, as far as the disk lacks its reserve, if that is enough. Raises OSError."""
        await self._load()
        async with self._making_room:
            room = find_room(await self._state(), "", {})
            if isinstance(room, Room):
                await self._evict(room.evict)

    def path(self, snapshot_id: SnapshotId) -> Path:
        """Return where the snapshot's tree is, once tree() has provided it."""
        return self._trees.path(snapshot_id)

    def close(self) -> None:
        """End its threads."""
        self._managers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, snapshot_id: str, work: _Work) -> None:
        work.users -= 1
        if not work.users:
            del self._work[snapshot_id]

    async def _load(self) -> None:
        async with self._loading:
            if self._loaded:
                return
            self._snapshots, self._held, self._trusted = await self._blocking(self._read)
            self._loaded = True
            self._measure()
            log.info("folder_cache_read", snapshots=len(self._snapshots), bytes=sum(self._held.values()))

    def _read(self) -> tuple[dict[str, CachedSnapshot], dict[str, int], set[str]]:
        """Read what lies on the disk, and remove what belongs to no snapshot."""
        for folder in (self._root, self._partial):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        snapshots, held = self._trees.load(), self._objects.sizes()
        named = {name for snapshot in snapshots.values() for name in snapshot.objects}
        for name in held.keys() - named:
            self._objects.remove(name)
            del held[name]
        for path in list(self._partial.iterdir()):
            if path.name.removesuffix(".pieces") not in named:
                path.unlink(missing_ok=True)
        whole = (one for key, one in snapshots.items() if self._trees.is_complete(key))
        return snapshots, held, {name for one in whole for name in one.objects}

    async def _provide(self, snapshot_id: SnapshotId, work: _Work) -> None:
        """Bring the snapshot's tree into being, or mend it."""
        known = snapshot_id in self._snapshots
        content = await self._blocking(partial(self._trees.content, snapshot_id)) if known else None
        if content is not None and await self._blocking(partial(self._trees.is_complete, snapshot_id)):
            damaged = await self._blocking(partial(self._trees.damaged, snapshot_id, content))
            await self._used(snapshot_id)
            if not damaged:
                return
            log.warning("folder_tree_damaged", snapshot=snapshot_id, files=len(damaged))
            await self._complete(snapshot_id, content, set(damaged), work)
            await self._blocking(partial(self._trees.mend, snapshot_id, content))
            return
        FOLDER_FETCHES.inc()
        try:
            manifest = None
            if content is None:
                manifest, content = await self._manifest(snapshot_id, work)
            async with self._making_room:
                await self._make_room(snapshot_id, content, work)
            if manifest is not None:
                await self._blocking(partial(self._trees.keep_manifest, snapshot_id, manifest))
            await self._used(snapshot_id)
            await self._complete(snapshot_id, content, set(content.objects), work)
            work.progress.begin("linking", done=content.size_bytes, total=content.size_bytes)
            await self._blocking(partial(self._trees.make, snapshot_id, content))
            log.info("folder_cached", snapshot=snapshot_id, files=len(content.files), bytes=content.size_bytes)
        finally:
            work.reserved = {}
            FOLDER_FETCHES.dec()

    async def _manifest(self, snapshot_id: SnapshotId, work: _Work) -> tuple[FolderManifest, SnapshotContent]:
        """Fetch what the snapshot has. Raises SnapshotRefused."""
        work.progress.begin("manifest")
        refused = 0
        while True:
            received = await self._fetcher.manifest(snapshot_id, work.progress)
            try:
                return await self._blocking(partial(_parsed, received, snapshot_id))
            except (ValidationError, ManifestRefused) as error:
                why = _words(error)
                log.warning("folder_manifest_refused", snapshot=snapshot_id, why=why)
                refused += 1
                if refused == MAX_MANIFESTS_REFUSED:
                    raise SnapshotRefused(f"the manifest that managers send is not used: {why}") from error
                self._fetcher.next_manager()

    async def _make_room(self, snapshot_id: SnapshotId, content: SnapshotContent, work: _Work) -> None:
        """Let other snapshots leave, as far as room is needed, and take this one into the account. Raises CacheFull."""
        sizes = content.sizes
        room = find_room(await self._state(sizes, work), snapshot_id, sizes)
        if isinstance(room, NoRoom):
            raise CacheFull(room.text)
        self._snapshots[snapshot_id] = CachedSnapshot(self._now().timestamp(), sizes)
        work.reserved = {name: size for name, size in sizes.items() if name not in self._held}
        await self._evict(room.evict)

    async def _state(self, sizes: Collection[str] = (), work: _Work | None = None) -> CacheState:
        """Return what there is beside the objects in `sizes`, of which `work` is done."""
        free = await self._blocking(partial(free_bytes, self._root))
        others = [other for other in self._work.values() if other is not work]
        reserved = {name: size for other in others for name, size in other.reserved.items()}
        in_use = self._in_use()
        return CacheState(
            snapshots=self._snapshots,
            held=self._held,
            in_use=None if in_use is None else {*in_use, *self._work},
            capacity_bytes=self._limits.capacity_bytes,
            free_bytes=free - self._limits.reserve_bytes,
            claimed_bytes=sum(size for name, size in reserved.items() if name not in sizes),
            max_entries=MAX_ENTRIES,
        )

    async def _evict(self, snapshots: Sequence[str]) -> None:
        for snapshot_id in snapshots:
            del self._snapshots[snapshot_id]
            FOLDER_EVICTIONS.inc()
            log.info("folder_evicted", snapshot=snapshot_id)
        await self._remove(snapshots)

    async def _remove(self, evicted: Sequence[str]) -> None:
        """Remove trees, and the objects that no other snapshot has."""
        named = {name for one in self._snapshots.values() for name in one.objects}
        unnamed = self._held.keys() - named
        for name in unnamed:
            del self._held[name]
            self._trusted.discard(name)

        def remove() -> None:
            for snapshot_id in evicted:
                self._trees.remove(snapshot_id)
            for name in unnamed:
                self._objects.remove(name)

        if evicted or unnamed:
            await self._blocking(remove)
            self._measure()

    async def _complete(self, snapshot_id: SnapshotId, content: SnapshotContent, names: set[str], work: _Work) -> None:
        """Fetch those of the snapshot's objects that are not here; what others fetch at the moment is waited for."""
        while True:
            missing = await self._blocking(partial(self._missing, [content.objects[name] for name in names]))
            for one in missing:
                self._held.pop(one.name, None)
            if not missing:
                return
            others = {name for other in self._work.values() if other is not work for name in other.claimed}
            mine = [one for one in missing if one.name not in others]
            if not mine:
                work.progress.begin("waiting", total=content.size_bytes)
                self._fetched.clear()
                await self._fetched.wait()
                continue
            work.claimed = {one.name for one in mine}
            total = content.size_bytes
            work.progress.begin("fetching", done=total - sum(one.size for one in missing), total=total)
            try:
                await self._fetcher.fetch(snapshot_id, mine, work.progress, self._admitted)
            finally:
                work.claimed = set()
                self._fetched.set()

    def _missing(self, wanted: Sequence[WantedObject]) -> list[WantedObject]:
        """Return which of these objects are not here, or not whole. Blocks."""
        return [
            one for one in wanted if not self._objects.is_whole(one.name, one.size, read=one.name not in self._trusted)
        ]

    def _admitted(self, wanted: WantedObject) -> None:
        self._held[wanted.name] = wanted.size
        self._trusted.add(wanted.name)
        for other in self._work.values():
            other.reserved.pop(wanted.name, None)
        FOLDER_CACHE_BYTES.inc(wanted.size)

    async def _used(self, snapshot_id: str) -> None:
        now = self._now().timestamp()
        known = self._snapshots.get(snapshot_id)
        if known is not None:
            self._snapshots[snapshot_id] = CachedSnapshot(now, known.objects)
        await self._blocking(partial(self._trees.touch, snapshot_id, now))

    def _measure(self) -> None:
        FOLDER_CACHE_BYTES.set(sum(self._held.values()))

    async def _blocking(self, function: Callable[[], T]) -> T:
        return await in_thread(self._threads, function)


def _parsed(received: bytes, snapshot_id: SnapshotId) -> tuple[FolderManifest, SnapshotContent]:
    manifest = FolderManifest.model_validate_json(received)
    return manifest, content_of(manifest, snapshot_id)


def _words(error: ValidationError | ManifestRefused) -> str:
    if isinstance(error, ManifestRefused):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300]
