"""Processes of a stack, found by ancestry and environment in /proc."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A live process."""

    pid: int
    parent: int
    words: tuple[str, ...]
    session: str | None
    """The replica that it belongs to."""
    data: str | None
    """The runtime's folder that the replica belongs to."""

    @property
    def is_shim(self) -> bool:
        """Whether it is the shim between an agent and a replica's program."""
        return any(word.endswith("/shim.py") for word in self.words)

    @property
    def is_program(self) -> bool:
        """Whether it is a replica's program."""
        return any(word.endswith("/replica.py") for word in self.words) and not self.is_shim


def processes() -> Iterator[Process]:
    """Yield all readable processes, without zombies."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                place = Path(entry.path)
                fields = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] in {"Z", "X"}:
                    continue
                words = (place / "cmdline").read_text(errors="replace").split("\0")[:-1]
                pairs = (word.partition("=") for word in (place / "environ").read_text(errors="replace").split("\0"))
                env = {name: value for name, _, value in pairs}
                session, data = env.get("HEADRACE_SESSION_ID"), env.get("HEADRACE_RUNTIME_DIR")
                yield Process(int(entry.name), int(fields[1]), tuple(words), session, data)


def tree(root: int) -> list[int]:
    """Return `root` and its descendants, parents first."""
    children = defaultdict(list)
    for one in processes():
        children[one.parent].append(one.pid)
    found, wave = [], [root]
    while wave:
        found += wave
        wave = [child for parent in wave for child in children[parent]]
    return found


def replicas_of(data: Path) -> list[Process]:
    """Return the processes of all replicas whose runtime's folder lies below `data`."""
    return [one for one in processes() if one.data is not None and Path(one.data).is_relative_to(data)]


def naming(data: Path) -> list[Process]:
    """Return the processes whose command line names a path below `data`, and those of replicas there."""
    here = str(data)
    return [
        one
        for one in processes()
        if one.pid != os.getpid()
        and (any(here in word for word in one.words) or (one.data is not None and Path(one.data).is_relative_to(data)))
    ]


def send(pids: list[int], number: signal.Signals) -> None:
    """Send a signal to those that still live."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
