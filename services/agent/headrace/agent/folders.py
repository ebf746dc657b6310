"""Model folders on the machine: in a storage that it shares with the managers, or fetched from them. Never outside of either."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Sequence
from pathlib import Path

from headrace.agent.folder_cache.cache import FolderCache
from headrace.agent.folder_cache.errors import CacheFull, SnapshotRefused
from headrace.agent.folder_cache.progress import Say
from headrace.agent.runtime.interface import PreparedMount, StartRefused
from headrace.common.contracts.messages.plans import KernelSpec, Mount
from headrace.common.contracts.reasons.kernel import KernelReason


class Folders:
    """Model folders in the shared storage at `root`: a directory per folder id, and the snapshots of revisions.

    With a `cache`, snapshots come from that; `root` is then for what is mounted as it is, and may be missing. Models that are on
    the machine itself are below `model_roots`.
    """

    def __init__(self, root: Path | None, cache: FolderCache | None = None, model_roots: Sequence[Path] = ()) -> None:
        self._root = root
        self._cache = cache
        self._model_roots = model_roots

    async def fetch(self, spec: KernelSpec, say: Say) -> None:
        """Fetch the snapshots that the kernel mounts and that are not on the machine; `say` hears the progress.

        Waits for managers as long as it takes. Raises StartRefused, OSError.
        """
        if self._cache is None:
            return
        for snapshot_id in dict.fromkeys(mount.snapshot_id for mount in spec.mounts):
            if snapshot_id is None:
                continue
            try:
                await self._cache.tree(snapshot_id, say)
            except SnapshotRefused as refused:
                raise StartRefused(KernelReason.FOLDER_REFUSED, f"its folder is not used: {refused}") from refused
            except CacheFull as full:
                raise StartRefused(KernelReason.FOLDER_CACHE_FULL, f"no room for its folder: {full}") from full

    async def relieve(self) -> None:
        """Free disk space that no replica needs. Raises OSError."""
        if self._cache is not None:
            await self._cache.relieve()

    def mounts(self, spec: KernelSpec) -> tuple[PreparedMount, ...]:
        """Return the host paths of the kernel's mounts. Blocks on the storage.

        Raises StartRefused for a folder that does not exist.
        """
        return tuple(self._mount(mount) for mount in spec.mounts)

    def _mount(self, mount: Mount) -> PreparedMount:
        target = posixpath.normpath(mount.target)
        if not target.startswith("/") or target.startswith("//") or target == "/":
            raise StartRefused(KernelReason.MOUNT_REFUSED, f"{mount.target} is not an absolute path below /")
        if mount.host_path is not None:
            return PreparedMount(self._on_the_machine(mount.host_path), target, read_only=True)
        what = (
            f"folder {mount.folder_id}"
            if mount.snapshot_id is None
            else f"snapshot {mount.snapshot_id[:12]} of folder {mount.folder_id}"
        )
        source = self._source(mount, what)
        try:
            mode = source.lstat().st_mode
        except OSError as error:
            raise StartRefused(
                KernelReason.FOLDER_MISSING,
                f"{what} for {mount.target} is not on this machine: {error.strerror}",
            ) from error
        if not stat.S_ISDIR(mode):  # a link here would lead out of the storage
            raise StartRefused(KernelReason.FOLDER_MISSING, f"{what} for {mount.target} is not a folder")
        return PreparedMount(source.resolve(), target, mount.read_only or mount.snapshot_id is not None)

    def _on_the_machine(self, path: str) -> Path:
        """Return where the model at a path of the machine is, without links. Raises StartRefused."""
        normal = Path(posixpath.normpath(path))
        below = [root for root in self._model_roots if normal.is_relative_to(root)]
        if not below:
            roots = ", ".join(map(str, self._model_roots)) or "nothing"
            raise StartRefused(
                KernelReason.MOUNT_REFUSED,
                f"the model at {path} is not below {roots} (setting model_roots of this machine)",
            )
        try:
            found = normal.resolve(strict=True)
            real = [root.resolve(strict=True) for root in below]
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else "a link leads to itself"
            raise StartRefused(
                KernelReason.FOLDER_MISSING, f"the model at {path} is not on this machine: {why}"
            ) from error
        if not any(found.is_relative_to(root) for root in real):
            raise StartRefused(
                KernelReason.MOUNT_REFUSED, f"a link at {path} leads out of {', '.join(map(str, below))}"
            )
        if not found.is_dir():
            raise StartRefused(KernelReason.FOLDER_MISSING, f"the model at {path} is not a folder")
        return found

    def _source(self, mount: Mount, what: str) -> Path:
        if self._cache is not None and mount.snapshot_id is not None:
            return self._cache.path(mount.snapshot_id)
        if self._root is not None:
            return self._root / mount.source
        raise StartRefused(
            KernelReason.FOLDER_MISSING,
            f"{what} for {mount.target} is mounted as it is, which needs a shared storage, and this machine has none "
            "(folder_access is fetch, and folders_root is not set); machines with one are in other resource groups",
        )
