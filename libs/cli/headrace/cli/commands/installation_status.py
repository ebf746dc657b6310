"""Table of an installation's parts, as `headrace status` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from headrace.cli.output import Columns
from headrace.cli.text import size
from headrace.common.contracts.http.status import InstallationStatus, PartView

MAX_MACHINES: Final = 20
"""Machines that are up and have a row; more are counted."""


def _facts(part: PartView) -> str:
    return ", ".join(f"{_name(name)} {_value(name, value)}" for name, value in part.facts.items())


def _name(name: str) -> str:
    return name.removesuffix("_bytes").removesuffix("_s").replace("_", " ")


def _value(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if name.endswith("_bytes"):
        return size(value)
    return f"{value * 1000:.1f} ms" if name.endswith("_s") else f"{value:g}"


PART_COLUMNS: Columns[PartView] = (
    ("PART", lambda part: part.kind),
    ("NAME", lambda part: part.name),
    ("STATUS", lambda part: part.status),
    ("VERSION", lambda part: part.version or "-"),
    ("HOST", lambda part: part.host or "-"),
    ("ADDRESS", lambda part: part.address or "-"),
    ("SINCE", lambda part: part.since),
    ("WHY, OR MORE OF IT", lambda part: "; ".join(reason.text for reason in part.reasons) or _facts(part) or "-"),
)


def shown_parts(found: InstallationStatus) -> Sequence[PartView]:
    """Return the parts that have a row: all but machines that are up, of which the first few have one."""
    return list(_shown(found))


def _shown(found: InstallationStatus) -> Iterator[PartView]:
    up = 0
    for part in found.parts:
        if part.kind == "agent" and part.status == "up":
            up += 1
            if up > MAX_MACHINES:
                continue
        yield part


def machines_line(found: InstallationStatus) -> str | None:
    """Return how many machines there are, if not all have a row."""
    rows = sum(part.kind == "agent" for part in shown_parts(found))
    total = found.agents.alive + found.agents.lost
    return f"{total} agents in all: {found.agents.alive} alive, {found.agents.lost} lost" if rows < total else None
