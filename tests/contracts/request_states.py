"""Generator of diagram and table of request states in docs/data-plane.md, from the app-proxy's transition table."""

from __future__ import annotations

from pathlib import Path

from headrace.appproxy.dataplane.request.states import MEANING, TRANSITIONS, State

PAGE = Path(__file__).parents[2] / "docs/data-plane.md"
BEGIN = "<!-- generated from dataplane/request/states.py by `make contracts` -->\n"
END = "<!-- end -->\n"


def page() -> str:
    """Return the page with its diagram and its table regenerated."""
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}{_diagram()}\n{_table()}{END}{after}"


def _word(name: str) -> str:
    return name.lower().replace("_", "-")


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.ARRIVED.name}"]
    for state, ways in TRANSITIONS.items():
        edges: dict[State, list[str]] = {}
        for event, (after, _) in ways.items():
            edges.setdefault(after, []).append(_word(event.name))
        lines += [f"    {state.name} --> {after.name}: {', '.join(events)}" for after, events in edges.items()]
    return "\n".join([*lines, f"    {State.DONE.name} --> [*]", "```"]) + "\n"


def _table() -> str:
    lines = ["| state | what holds | event | next | when |", "|---|---|---|---|---|"]
    for state, ways in TRANSITIONS.items():
        if not ways:
            lines.append(f"| {state.name} | {MEANING[state]} | – | – | – |")
        for number, (event, (after, when)) in enumerate(ways.items()):
            first = f"{state.name} | {MEANING[state]}" if number == 0 else " | "
            lines.append(f"| {first} | {_word(event.name)} | {after.name} | {when} |")
    return "\n".join(lines) + "\n"
