"""Watchdog: whether a silent worker hangs, or is only starved by a busy machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SILENT_S: Final = 1.5
"""Workers report four times a second; one that is silent for longer is examined."""
STARVED_S: Final = 30.0
"""A starved worker may be silent for so long: killing it would only add load to the machine."""
STARTING_S: Final = 60.0
"""Until its first report it is loading its program."""
_OWN_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """State (as in proc(5)) and CPU time of a process."""

    state: str
    cpu_s: float


def read_stat(text: str, ticks_per_s: float) -> ProcessStat:
    """Parse /proc/PID/stat. The command name (field 2) may hold any character."""
    state, *fields = text.rpartition(")")[2].split()
    return ProcessStat(state, (int(fields[10]) + int(fields[11])) / ticks_per_s)


def hang_reason(
    silent_s: float, now: ProcessStat | None, cpu_when_heard_s: float, *, reported_once: bool
) -> str | None:
    """Return why a silent worker counts as hanging, or None.

    A stopped process hangs. One that sleeps blocks its own event loop (one in disk sleep does not count). One that is
    runnable and got at least half a CPU since its last report is in an endless loop; one that got less is starved by
    the machine and is waited for.
    """
    if not reported_once:
        return "did not start" if silent_s > STARTING_S else None
    if silent_s <= SILENT_S or now is None:
        return None
    if now.state in "Tt":
        return "stopped"
    if now.state == "S":
        return "blocked"
    if now.cpu_s - cpu_when_heard_s >= _OWN_SHARE * silent_s:
        return "busy without end"
    return "starved" if silent_s > STARVED_S else None
