"""Process tree of a kernel, and the owners of listening sockets, from /proc. Blocks."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from headrace.agent.runtime.interface import PortProblem
from headrace.agent.runtime.listening import Listener, listeners
from headrace.agent.runtime.process.cgroups import members
from headrace.agent.runtime.process.proc import children_of, end_all
from headrace.agent.runtime.process.sockdiag import listening_sockets
from headrace.common.contracts.ids import KernelId

MARK = "HEADRACE_KERNEL_ID"
"""Environment variable with the kernel's id, in every process of a kernel that did not clear it."""
HOME_MARK = "HEADRACE_RUNTIME_DIR"
"""Environment variable with the runtime's folder, which distinguishes the agents of one machine."""
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_CACHE_S = 2.0
"""Lifetime of the cached socket table, for kernels whose ports are known to be their own: every check of every kernel
asks for it."""


class PortOwnership:
    """Tells whether a kernel's port is its own, with a short-lived cache."""

    def __init__(self, read: Callable[[], Mapping[int, frozenset[str]]] | None = None) -> None:
        """Make an empty cache. `read` returns the inodes of the machine's listening sockets by port."""
        self._read = read or listening
        self._own: dict[KernelId, frozenset[str]] = {}
        """Listening sockets known to be the kernel's own."""
        self._lock = threading.Lock()
        self._found: Mapping[int, frozenset[str]] = {}
        self._read_at_s = -_CACHE_S

    def keep(self, kernel_ids: Collection[KernelId]) -> None:
        """Drop other kernels from the cache."""
        self._own = {key: value for key, value in self._own.items() if key in kernel_ids}

    def is_own(self, kernel_id: KernelId, port: int) -> bool:
        """Return whether, a moment ago, only the kernel's known sockets listened on `port`. Does not block."""
        own = self._own.get(kernel_id)
        return own is not None and time.monotonic() - self._read_at_s < _CACHE_S and own == self._found.get(port)

    def problem(self, kernel_id: KernelId, shim: int, port: int) -> PortProblem | None:
        """Return who else listens on `port`, or that nobody does; None when only the kernel does."""
        sockets = self._sockets(port, self._own.get(kernel_id))
        if not sockets:  # as for a moment while a program opens its port anew
            return PortProblem(f"nobody listens on port {port} any more", foreign=False)
        if sockets == self._own.get(kernel_id):
            return None
        processes = process_tree(kernel_id, shim)
        own = frozenset(held_by(processes, sockets))
        if own == sockets:
            self._own[kernel_id] = own
            return None
        # What the kernel closed while its processes were looked at has no holder either: it is not there any more.
        foreign = (sockets - own) & self._read().get(port, frozenset())
        holder = _named(foreign)
        if not foreign or (not holder and any(map(_is_closed_to_us, processes))):
            return None
        return PortProblem(f"port {port} is held by another program{holder}, not by this replica's own", foreign=True)

    def _sockets(self, port: int, own: frozenset[str] | None) -> frozenset[str]:
        """Return the sockets that listen on `port`; from the cache while those are the kernel's `own` only."""
        with self._lock:
            now_s = time.monotonic()
            if own is None or own != self._found.get(port) or now_s - self._read_at_s >= _CACHE_S:
                self._found, self._read_at_s = self._read(), now_s
            return self._found.get(port, frozenset())


def process_tree(kernel_id: KernelId, shim: int) -> set[int]:
    """Return the kernel's processes: descendants of its shim, and processes with its environment marker."""
    return children_of(shim) | set(marked(str(kernel_id)))


def marked(kernel_id: str) -> Iterator[int]:
    """Yield the processes whose environment carries the kernel's id."""
    mark = f"{MARK}={kernel_id}".encode()
    return (pid for pid, words in _environments() if mark in words)


def orphaned_kernels(data: Path, known: Collection[KernelId]) -> set[str]:
    """Return the ids of kernels that are not `known` any more, of which processes of the runtime at `data` still live."""
    home, own, mark = f"{HOME_MARK}={data}".encode(), {str(kernel_id) for kernel_id in known}, f"{MARK}=".encode()
    named = set()
    for _, words in _environments():
        if home in words:
            named |= {word.removeprefix(mark).decode("utf-8", "replace") for word in words if word.startswith(mark)}
    return named - own


def kill_marked(kernel_id: str, group: Path | None = None) -> int:
    """Kill all processes with the kernel's marker or in its control group, until none is left; return how many. Blocks.

    Daemons have left the process tree and the process group. They cannot leave the control group by themselves; where
    there is none, the environment they were started with identifies those that did not clear it.
    """
    return end_all(lambda: {*marked(kernel_id), *(() if group is None else members(group))})


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for pid in pids():
        with suppress(OSError):
            yield pid, Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def listening() -> dict[int, frozenset[str]]:
    """Return the inodes of all listening sockets, by port, whatever their address."""
    found: dict[int, set[str]] = defaultdict(set)
    try:
        for port, inode in listening_sockets():
            found[port].add(inode)
    except OSError:  # a system without sock_diag
        found.clear()
        for one in _sockets():
            found[one.port].add(one.inode)
    return {port: frozenset(inodes) for port, inodes in found.items()}


def listeners_of(kernel_id: KernelId, shim: int) -> list[Listener]:
    """Return the sockets on which the kernel's processes listen."""
    found = {one.inode: one for one in _sockets()}
    return [found[inode] for inode in set(held_by(process_tree(kernel_id, shim), found))]


def _sockets() -> Iterator[Listener]:
    for table in _TABLES:
        with suppress(OSError):
            yield from listeners(Path(table).read_text(encoding="ascii"))


def held_by(processes: Collection[int], sockets: Collection[str]) -> Iterator[str]:
    """Yield those of `sockets` that one of `processes` has open."""
    wanted = {f"socket:[{inode}]": inode for inode in sockets}
    for pid in processes:
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - many, and a Path each is slow
                with suppress(OSError):
                    inode = wanted.get(os.readlink(f"/proc/{pid}/fd/{name}"))  # noqa: PTH115 - the same
                    if inode is not None:
                        yield inode


def _is_closed_to_us(pid: int) -> bool:
    """Return whether this account may not read the process's descriptors (it changed its user, or has capabilities)."""
    try:
        os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - as above
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def pids() -> Iterator[int]:
    """Yield the ids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - many, and a Path each is slow


def _named(sockets: Collection[str]) -> str:
    for pid in pids():
        if any(True for _ in held_by([pid], sockets)):
            with suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return f" (process {pid}, {name})"
    return ""
