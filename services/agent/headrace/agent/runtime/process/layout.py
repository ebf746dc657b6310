"""Directory layout of one kernel on the process runtime, and the path substitutions that follow from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headrace.agent.domain.rewriting import CommandRewriter
from headrace.agent.runtime.environment import HOME, identity, permitted
from headrace.agent.runtime.interface import Prepared, StartRefused
from headrace.agent.runtime.process.process_tree import HOME_MARK
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.runtime.removal import remove_tree

TMP = "/tmp"  # noqa: S108 - a path inside the kernel's own folder
_INHERITED = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class KernelLayout:
    """Paths of one kernel's files. `root` stands for `/` of a container."""

    data: Path
    """The runtime's own folder in the agent's data folder."""
    kernel_id: KernelId

    @property
    def folder(self) -> Path:
        """Directory of everything but the lock."""
        return self.data / "kernels" / str(self.kernel_id)

    @property
    def root(self) -> Path:
        """Root directory that the program sees."""
        return self.folder / "root"

    @property
    def lock(self) -> Path:
        """Lock file, held by the shim while it lives. Outside of `folder`, so that deleting that cannot free it."""
        return self.data / "locks" / str(self.kernel_id)

    @property
    def spec(self) -> Path:
        """File with the kernel's ids and port."""
        return self.folder / "kernel.json"

    @property
    def state(self) -> Path:
        """File with the process ids, written by the shim."""
        return self.folder / "state.json"

    @property
    def exit(self) -> Path:
        """File with the exit code, written by the shim."""
        return self.folder / "exit.json"

    @property
    def log(self) -> Path:
        """Log file, written by the shim; `log.1` is the rotated part before it."""
        return self.folder / "log"

    def here(self, path: str) -> Path:
        """Return the host path of the kernel's `path`; a relative one starts at its home."""
        return self.root / (path.lstrip("/") if path.startswith("/") else f"{HOME.lstrip('/')}/{path}")

    def make(self, prepared: Prepared) -> None:
        """Create the directories, and the links to the mounts, anew. Blocks.

        Raises StartRefused for a mount that cannot be linked.
        """
        with suppress(OSError):
            remove_tree(self.folder)
        for folder in (self.lock.parent, self.folder, self.here(HOME), self.here(TMP)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for mount in sorted(prepared.mounts, key=lambda mount: mount.target):
            link = self.here(os.path.normpath(mount.target))
            if link.is_dir() and not link.is_symlink() and not any(link.iterdir()):
                link.rmdir()  # a mount over the empty home
            link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if link.exists() or not link.parent.resolve().is_relative_to(self.root.resolve()):
                raise StartRefused(
                    KernelReason.MOUNT_REFUSED,
                    f"{mount.target} overlaps another mount; the process runtime cannot nest them",
                )
            link.symlink_to(mount.source, target_is_directory=True)

    def rewriting(self, spec: KernelSpec, prepared: Prepared) -> CommandRewriter:
        """Return the substitutions for the kernel's command and environment."""
        prefixes = {HOME, *(os.path.normpath(mount.target) for mount in prepared.mounts)}
        # /tmp is the program's own only where its pre-start actions put something: elsewhere the word may be the machine's.
        prefixes |= {"/".join(path.split("/")[:3]) for path in _made(spec) if path.startswith(f"{TMP}/")}
        paths = tuple((prefix, str(self.here(prefix))) for prefix in sorted(prefixes))
        return CommandRewriter(prepared.host_port, str(self.here(spec.model_path)), spec.port, paths)


def _made(spec: KernelSpec) -> set[str]:
    made = set()
    for action in spec.pre_start_actions:
        if action.action == "write_file":
            made.add(os.path.normpath(action.args.filename))
        elif action.action == "mkdir":
            made.add(os.path.normpath(action.args.path))
    return made


def kernel_environment(
    spec: KernelSpec, prepared: Prepared, layout: KernelLayout, rewriting: CommandRewriter, outer: Mapping[str, str]
) -> dict[str, str]:
    """Return the complete environment of the kernel.

    Of the agent's own (`outer`) only an allow list passes: it holds secrets.
    """
    venv = str(Path(sys.executable).parent)
    home = str(layout.here(HOME))
    environment = {name: outer[name] for name in _INHERITED if name in outer}
    environment |= {
        "PATH": f"{venv}:{outer.get('PATH', _PATH)}",
        "HOME": home,
        "TMPDIR": str(layout.here(TMP)),
        "PYTHONUNBUFFERED": "1",
        **identity(spec, port=prepared.host_port, model_path=rewriting.model_path),
    }
    ours = {HOME_MARK: str(layout.data), **_gpus(spec, prepared)}
    return environment | rewriting.environ(permitted(spec.environ)) | ours


def _gpus(spec: KernelSpec, prepared: Prepared) -> dict[str, str]:
    """Return the GPU variables: none visible without GPUs; simulated ones are named, though no device is behind them."""
    ids = ",".join(grant.gpu_id for grant in spec.gpus)
    if prepared.simulated_gpus:
        return {"CUDA_VISIBLE_DEVICES": "-1", "HEADRACE_SIMULATED_GPUS": ids}
    shared = [int(grant.share * 100) for grant in spec.gpus if grant.share < 1]
    limits = {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(max(1, min(shared)))} if shared else {}
    return {"CUDA_VISIBLE_DEVICES": ids or "-1", **limits}
