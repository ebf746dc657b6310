"""The processes of one kernel, and whose a listening socket is. From /proc; blocks."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from headrace.agent.runtime.process.proc import children_of, read_stat
from headrace.common.contracts.ids import KernelId

MARK = "HEADRACE_KERNEL_ID"
"""In the environment of every process of a kernel that did not clear it."""
_LISTEN = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


class Listeners:
    """Says whether a kernel's port is its own, and remembers what it found."""

    def __init__(self) -> None:
        self._own: dict[KernelId, frozenset[str]] = {}
        """Listening sockets that were seen to be the kernel's own."""

    def keep(self, kernel_ids: Collection[KernelId]) -> None:
        """Forget other kernels than these."""
        self._own = {key: value for key, value in self._own.items() if key in kernel_ids}

    def stranger(self, kernel_id: KernelId, shim: int, port: int) -> str | None:
        """Return who listens on `port` though not of the kernel, or that nobody does; None when only the kernel does."""
        sockets = listening(port)
        if not sockets:
            return f"nobody listens on port {port} any more"
        if sockets == self._own.get(kernel_id):
            return None
        own = frozenset(held_by(family(kernel_id, shim), sockets))
        if own == sockets:
            self._own[kernel_id] = own
            return None
        return f"port {port} is held by another program{_named(sockets - own)}, not by this replica's own"


def family(kernel_id: KernelId, shim: int) -> set[int]:
    """Return the kernel's processes: what descends from its shim, and what carries its mark."""
    return children_of(shim) | set(marked(str(kernel_id)))


def marked(kernel_id: str) -> Iterator[int]:
    """Yield the processes whose environment names the kernel."""
    mark = f"{MARK}={kernel_id}".encode()
    for pid in pids():
        with suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                yield pid


def listening(port: int) -> frozenset[str]:
    """Return the inodes of the sockets that listen on `port`, at any address."""
    wanted = f":{port:04X}"
    found = set()
    for table in _TABLES:
        with suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split(maxsplit=10)
                if fields[1].endswith(wanted) and fields[3] == _LISTEN:
                    found.add(fields[9])
    return frozenset(found)


def held_by(processes: Collection[int], sockets: Collection[str]) -> Iterator[str]:
    """Yield those of `sockets` that a process of `processes` holds open."""
    wanted = {f"socket:[{inode}]": inode for inode in sockets}
    for pid in processes:
        with suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    inode = wanted.get(os.readlink(entry.path))  # noqa: PTH115 - many, and a Path each is slow
                    if inode is not None:
                        yield inode


def pids() -> Iterator[int]:
    """Yield the processes that there are."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def _named(sockets: Collection[str]) -> str:
    for pid in pids():
        if any(True for _ in held_by([pid], sockets)):
            with suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return f" (process {pid}, {name})"
    return ""


def is_alive(pid: int) -> bool:
    """Return whether the process runs."""
    stat = read_stat(pid)
    return stat is not None and stat.alive
