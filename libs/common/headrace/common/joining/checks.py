"""Checks of a machine before it joins: what was found, what is needed, how to mend it."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

MAX_SKEW_S: Final = 60
"""Difference from the manager's clock: identities and certificates are valid from one moment to another."""


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check."""

    name: str
    found: str
    needed: str
    mend: str | None = None
    """What to do; None: it passed."""


def clock_check(manager: datetime | None, now: datetime) -> Check:
    """Compare the clocks of the machine and the manager. Pure."""
    needed = f"at most {MAX_SKEW_S} s from the manager's"
    if manager is None:
        return Check("clock", "the manager tells no time", needed)
    skew = (now - manager).total_seconds()
    found = f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" if abs(skew) >= 1 else "the same"
    if abs(skew) <= MAX_SKEW_S:
        return Check("clock", found, needed)
    return Check("clock", found, needed, f"set the clock (it says {now:%Y-%m-%dT%H:%M:%SZ}), for example by chrony")


def version_check(manager: str, own: str) -> Check:
    """Compare the versions of Headrace. Pure."""
    mend = None if manager == own else "install the manager's version: run the line of headrace agent join-token"
    return Check("version", own, f"{manager}, as the manager", mend)


def ports_check(ports: Mapping[int, str]) -> Check:
    """Try whether the ports (with the options that name them) can be listened on."""
    needed = f"{', '.join(map(str, ports))} free"
    taken = {port: option for port, option in ports.items() if is_taken(port)}
    if not taken:
        return Check("ports", "free", needed)
    found = f"{', '.join(map(str, taken))} in use"
    return Check("ports", found, needed, f"stop what uses it, or name another: {', '.join(taken.values())}")


def is_taken(port: int) -> bool:
    """Try whether something listens on a port of this machine."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", port))
        except OSError:
            return True
    return False


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def table(checks: Sequence[Check]) -> list[str]:
    """Return the checks as lines: found, needed, how to mend. Pure."""
    rows = [("CHECK", "FOUND", "NEEDED", "TO DO"), *((c.name, c.found, c.needed, c.mend or "ok") for c in checks)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows]
