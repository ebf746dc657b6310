"""Model folders on the machine: resolved below one root, never outside."""

from __future__ import annotations

import posixpath
import stat
from pathlib import Path

from headrace.agent.runtime.interface import PreparedMount, StartRefused
from headrace.common.contracts.messages.plans import KernelSpec, Mount
from headrace.common.contracts.reasons.kernel import KernelReason


class Folders:
    """Model folders in the shared storage at `root`: a directory per folder id, and the snapshots of revisions."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def mounts(self, spec: KernelSpec) -> tuple[PreparedMount, ...]:
        """Return the host paths of the kernel's mounts. Blocks on the storage.

        Raises StartRefused for a folder that does not exist.
        """
        return tuple(self._mount(mount) for mount in spec.mounts)

    def _mount(self, mount: Mount) -> PreparedMount:
        source = self._root / mount.source
        what = f"snapshot {mount.snapshot_id[:12]} of " if mount.snapshot_id is not None else ""
        what += f"folder {mount.folder_id}"
        try:
            mode = source.lstat().st_mode
        except OSError as error:
            raise StartRefused(
                KernelReason.FOLDER_MISSING,
                f"{what} for {mount.target} is not on this machine: {error.strerror}",
            ) from error
        if not stat.S_ISDIR(mode):  # a link here would lead out of the storage
            raise StartRefused(KernelReason.FOLDER_MISSING, f"{what} for {mount.target} is not a folder")
        target = posixpath.normpath(mount.target)
        if not target.startswith("/") or target.startswith("//") or target == "/":
            raise StartRefused(KernelReason.MOUNT_REFUSED, f"{mount.target} is not an absolute path below /")
        return PreparedMount(source.resolve(), target, mount.read_only or mount.snapshot_id is not None)
