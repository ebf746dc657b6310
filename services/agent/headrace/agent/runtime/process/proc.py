"""Process trees of kernels: identity, CPU time, memory, and killing a whole tree."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headrace.common.runtime.procfs import Stat, boot_id, read_stat

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
PASSES = 100
LAST_MOMENT_S = 0.02
"""Time to look for children that processes start while they are being killed."""
EXIT_S = 2.0
"""Time in all for killed processes to exit; one that waits for a disk does not before."""


@dataclass(frozen=True, slots=True)
class ProcessIds:
    """Process ids of a shim and its program, with start times, as the shim wrote them."""

    shim: int
    shim_ticks: int
    child: int
    child_ticks: int
    boot: str

    @classmethod
    def read(cls, path: Path) -> ProcessIds | None:
        """Read `state.json`; None when it is missing."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{name: found[name] for name in cls.__slots__})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def shim_alive(self) -> bool:
        """Return whether this very shim still runs (pid and start time match)."""
        return self.boot == boot_id() and _is(self.shim, self.shim_ticks)

    @property
    def child_alive(self) -> bool:
        """Return whether this very program still runs (pid and start time match)."""
        return self.boot == boot_id() and _is(self.child, self.child_ticks)

    def kill_group(self, number: int) -> None:
        """Send the signal to the program's process group, if the program still runs."""
        if self.child_alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child, number)


def end_all(found: Callable[[], Collection[int]]) -> int:
    """Kill the processes that `found` returns, until it returns none that lives; return how many. Blocks.

    Each is opened as a pidfd and then looked for again, so that a reused pid is not killed. Their exit is waited for: a
    process that exits has no environment any more by which it would be found again, and still holds its files and ports.
    """
    ended: set[int] = set()
    exit_by_s = time.monotonic() + EXIT_S
    for _ in range(PASSES):
        held: dict[int, int] = {}
        try:
            for pid in found():
                if pid != os.getpid():
                    with suppress(OSError):
                        held[pid] = os.pidfd_open(pid)
            still = set(found()) if held else set()
            living = {pid for pid in held if pid in still and (stat := read_stat(pid)) is not None and stat.alive}
            for pid in living:
                with suppress(ProcessLookupError, PermissionError):
                    signal.pidfd_send_signal(held[pid], signal.SIGKILL)
            _wait_for_exit({held[pid] for pid in living}, exit_by_s)
        finally:
            for pidfd in held.values():
                os.close(pidfd)
        if not living:
            break
        ended |= living
        time.sleep(LAST_MOMENT_S)
    return len(ended)


def _wait_for_exit(pidfds: set[int], until_s: float) -> None:
    poller = select.poll()
    for pidfd in pidfds:
        poller.register(pidfd, select.POLLIN)
    while pidfds and (left_s := until_s - time.monotonic()) > 0:
        for pidfd, _ in poller.poll(left_s * 1000):
            poller.unregister(pidfd)
            pidfds.remove(pidfd)


def _is(pid: int, ticks: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.alive and stat.started == ticks


def children_of(root: int) -> set[int]:
    """Return all living descendants of `root`, without itself."""
    _, children = _all()
    found: set[int] = set()
    waiting = list(children.get(root, ()))
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, ())
    return found


def _all() -> tuple[dict[int, Stat], dict[int, list[int]]]:
    stats = {
        stat.pid: stat
        for entry in os.scandir("/proc")
        if entry.name.isdigit() and (stat := read_stat(int(entry.name))) is not None
    }
    children: dict[int, list[int]] = defaultdict(list)
    for stat in stats.values():
        children[stat.parent].append(stat.pid)
    return stats, children


def trees(roots: Iterable[int]) -> Mapping[int, tuple[float, int]]:
    """Return for each root CPU seconds and resident bytes of all its living descendants, without the root's own.

    Memory shared between processes counts in each of them. One pass over /proc serves all roots.
    """
    stats, children = _all()
    return {root: _sum(root, stats, children) for root in roots if root in stats}


def held_memory(root: int, limit: int) -> int:
    """Return the bytes of unreclaimable memory of the descendants of `root`, without mapped files.

    Memory shared between them is counted once, which is slow for large processes; it is done only if the plain sum is
    above `limit`.
    """
    tree = children_of(root)
    whole = {pid: _field_bytes(pid, "status", ("RssAnon:", "RssShmem:")) for pid in tree}
    if sum(whole.values()) <= limit:
        return sum(whole.values())
    return sum(_field_bytes(pid, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) or whole[pid] for pid in tree)


def _field_bytes(pid: int, name: str, fields: tuple[str, ...]) -> int:
    """Return the sum of the fields, which are in KiB; 0 where the system does not report them."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(fields))


def _sum(root: int, stats: Mapping[int, Stat], children: Mapping[int, list[int]]) -> tuple[float, int]:
    ticks, pages = stats[root].reaped_ticks, 0
    waiting = list(children.get(root, ()))
    while waiting:
        stat = stats[waiting.pop()]
        ticks += stat.own_ticks + stat.reaped_ticks
        pages += stat.resident
        waiting += children.get(stat.pid, ())
    return ticks / _TICKS, pages * _PAGE
