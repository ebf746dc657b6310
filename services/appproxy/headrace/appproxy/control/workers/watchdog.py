"""Watchdog: whether a silent worker hangs, or is only starved by a busy machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SILENT_S: Final = 1.5
"""Workers report four times a second; one that is silent for longer is examined."""
STARVED_S: Final = 30.0
"""One that gets no processor may be silent so long: ending it would only make the machine busier."""
STARTING_S: Final = 60.0
"""Until its first report it loads its program."""
_OWN_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """A process as the system shows it: `state` as in proc(5), and the processor time that it has used."""

    state: str
    cpu_s: float


def read_stat(text: str, ticks_per_s: float) -> ProcessStat:
    """Return what /proc/PID/stat says; the command name (field 2) may hold anything."""
    state, *fields = text.rpartition(")")[2].split()
    return ProcessStat(state, (int(fields[10]) + int(fields[11])) / ticks_per_s)


def hang_reason(
    silent_s: float, now: ProcessStat | None, cpu_when_heard_s: float, *, reported_once: bool
) -> str | None:
    """Return why a worker hangs, or None.

    Stopped is stopped; who sleeps has nothing that holds its event loop back but itself (who waits for a disk has); who runs and
    got at least half of a processor since its last report is in a loop without end. Who wanted to run and hardly could is waited for.
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
