"""Generator of the session states table in docs/architecture.md, from headrace.manager.domain.lifecycle.states."""

from __future__ import annotations

from pathlib import Path

from headrace.manager.domain.lifecycle.states import MEANING, TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs/architecture.md"
BEGIN = "<!-- generated from domain/lifecycle/states.py by `make contracts` -->\n"
END = "<!-- end -->\n"


def page() -> str:
    """Return the page with its table regenerated."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}{_table()}{END}{after}"


def _table() -> str:
    lines = ["| session status | what holds | next | what moves it there |", "|---|---|---|---|"]
    for state, ways in TRANSITIONS.items():
        if not ways:
            lines.append(f"| `{state}` | {MEANING[state]} | – | – |")
        for number, (after, why) in enumerate(ways.items()):
            first = f"`{state}` | {MEANING[state]}" if number == 0 else " | "
            lines.append(f"| {first} | `{after}` | {why} |")
    return "\n".join(lines) + "\n"
