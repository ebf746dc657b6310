"""Memory limits of kernels by control groups (versions 1 and 2), where the agent may create them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath

from headrace.agent.runtime.process.proc import end_all

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_JOIN_S = 5.0
NO_GROUP = "-"
"""Argument in place of the `cgroup.procs` file when the kernel has no group."""


@dataclass(frozen=True, slots=True)
class MemoryGroups:
    """Control groups in `base`, one per kernel, named after agent and kernel. Blocks, but only on the cgroup file system."""

    base: Path
    owner: str
    unified: bool
    """Version 2."""

    @classmethod
    def find(cls, data: Path, root: Path = _ROOT, own: Path = _OWN) -> MemoryGroups | None:
        """Return where the agent can create, limit and join groups: below its own group or beside it; None where it cannot."""
        owner = sha256(str(data).encode()).hexdigest()[:12]
        for base, unified, is_own in _candidates(root, own):
            groups = cls(base, owner, unified)
            if groups._hand_down(enable=is_own) and groups._try():
                return groups
        return None

    def make(self, kernel_id: object, limit_bytes: int) -> Path:
        """Create the kernel's group with its limit, and return it. Raises OSError, and leaves no group then."""
        group = self.base / f"{self._prefix}{kernel_id}"
        group.mkdir(exist_ok=True)
        try:
            self._bound(group, limit_bytes)
        except OSError:
            remove(group)
            raise
        return group

    def _bound(self, group: Path, limit_bytes: int) -> None:
        first, second = (
            ("memory.max", "memory.swap.max")
            if self.unified
            else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        )
        if not self.unified:  # memory with swap may never be bounded below memory
            with suppress(OSError):
                (group / second).write_text("-1", encoding="ascii")
        (group / first).write_text(str(limit_bytes), encoding="ascii")
        with suppress(OSError):  # without swap accounting
            (group / second).write_text("0" if self.unified else str(limit_bytes), encoding="ascii")

    def sweep(self, known: Collection[str]) -> int:
        """Kill processes in this agent's groups of kernels that are not in `known`, and remove the groups.

        Return how many processes.
        """
        count = 0
        for group in self.base.glob(f"{self._prefix}*"):
            if group.name.removeprefix(self._prefix) not in known:
                count += end_all(partial(members, group))
                remove(group)
        return count

    @property
    def _prefix(self) -> str:
        return f"headrace-{self.owner}-"

    def _hand_down(self, *, enable: bool) -> bool:
        """Return whether groups in `base` can have a memory limit: version 2 delegates controllers level by level."""
        if not self.unified:
            return True
        control = self.base / "cgroup.subtree_control"
        with suppress(OSError):
            if "memory" in control.read_text(encoding="ascii").split():
                return True
            if enable and "memory" in (self.base / "cgroup.controllers").read_text(encoding="ascii").split():
                control.write_text("+memory", encoding="ascii")
                return True
        return False

    def _try(self) -> bool:
        """Return whether a group can be created, joined by a process, and removed."""
        done = False
        with suppress(OSError, subprocess.SubprocessError):
            group = self.make("trial", 2**30)
            try:
                join = ("/bin/sh", "-c", 'echo $$ > "$0"', str(procs_of(group)))
                subprocess.run(join, check=True, timeout=_JOIN_S, stderr=subprocess.DEVNULL)
                done = True
            finally:
                remove(group)
        return done


def procs_of(group: Path) -> Path:
    """Return the group's `cgroup.procs`, into which a process writes itself to join."""
    return group / "cgroup.procs"


def kills_in(group: Path) -> int:
    """Return how many processes of the group the kernel's OOM killer killed."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError, ValueError):
            for line in (group / name).read_text(encoding="ascii").splitlines():
                word, _, number = line.partition(" ")
                if word == "oom_kill":
                    return int(number)
    return 0


def members(group: Path) -> set[int]:
    """Return the processes in the group and its subgroups; a process cannot leave them by itself."""
    found: set[int] = set()
    for folder, _, _ in os.walk(group):
        with suppress(OSError, ValueError):
            found |= {int(word) for word in procs_of(Path(folder)).read_text(encoding="ascii").split()}
    return found


def remove(group: Path) -> None:
    """Remove the group and its subgroups, if they have no processes."""
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


def _candidates(root: Path, own: Path) -> Iterator[tuple[Path, bool, bool]]:
    """Yield (folder, whether it is version 2, whether it is the agent's own group), best first."""
    with suppress(OSError, ValueError):
        for line in own.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            inside = PurePosixPath(path.lstrip("/"))
            if ".." in inside.parts or (controllers and "memory" not in controllers.split(",")):
                continue
            top = root / "memory" if controllers else root
            yield top / inside, not controllers, True
            if inside.parts:
                yield top / inside.parent, not controllers, False
