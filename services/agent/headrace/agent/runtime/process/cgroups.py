"""Control groups (versions 1 and 2) that bound the memory of kernels on the process runtime, where the agent may make some."""

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
"""In place of the file by which a process joins its group."""


@dataclass(frozen=True, slots=True)
class MemoryGroups:
    """Groups in `base`, one for each kernel, named after the agent and the kernel. Blocks, but on the system's own files."""

    base: Path
    owner: str
    unified: bool
    """Version 2."""

    @classmethod
    def find(cls, data: Path, root: Path = _ROOT, own: Path = _OWN) -> MemoryGroups | None:
        """Return where groups can be made, limited and joined: below the agent's own group, or beside it; None where not."""
        owner = sha256(str(data).encode()).hexdigest()[:12]
        for base, unified, is_own in _candidates(root, own):
            groups = cls(base, owner, unified)
            if groups._hand_down(enable=is_own) and groups._try():
                return groups
        return None

    def make(self, kernel_id: object, limit_bytes: int) -> Path:
        """Make the kernel's group and return it. Raises OSError, and leaves none then."""
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
        """End what is left in this agent's groups of other kernels than `known`, and remove them; return how many there were."""
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
        """Return whether groups in `base` can have a bound on memory: version 2 hands controllers down one by one."""
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
        """Make a group, let a process join it, and remove it."""
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
    """Return the file into which a process writes itself to join the group."""
    return group / "cgroup.procs"


def kills_in(group: Path) -> int:
    """Return how many processes of the group were killed because it was at its bound."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError, ValueError):
            for line in (group / name).read_text(encoding="ascii").splitlines():
                word, _, number = line.partition(" ")
                if word == "oom_kill":
                    return int(number)
    return 0


def members(group: Path) -> set[int]:
    """Return the processes in the group and in those that they made below it: also of what a process cannot shed by itself."""
    found: set[int] = set()
    for folder, _, _ in os.walk(group):
        with suppress(OSError, ValueError):
            found |= {int(word) for word in procs_of(Path(folder)).read_text(encoding="ascii").split()}
    return found


def remove(group: Path) -> None:
    """Remove the group and those below it, if no process is left in them."""
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


def _candidates(root: Path, own: Path) -> Iterator[tuple[Path, bool, bool]]:
    """Yield folders, whether they are of version 2, and whether they are the agent's own group, best first."""
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
