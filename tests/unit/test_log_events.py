"""Log events are named in one style: what it is about, and what happened to it or how it is, as one identifier."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2]
LEVEL: Final = re.compile(r"\blog\.(debug|info|warning|error|exception|critical)\b")
HAPPENED: Final = frozenset(
    {"built", "chosen", "found", "hung", "lost", "overridden", "read", "rewritten", "sent", "written"}
)
"""Participles that do not end in -ed."""
STATES: Final = frozenset(
    {"ready", "unavailable", "unhealthy", "unreachable", "unreadable", "usable", "full", "transition", "limit"}
)
"""How something is; `illegal_transition` and `memory_over_limit` name the fault."""


def events() -> Iterator[tuple[str, str]]:
    """File and event of each line that is logged; the simulated engine has no structured log."""
    for part in ("libs", "services"):
        for path in sorted((ROOT / part).rglob("*.py")):
            if (ROOT / "libs/engine") in path.parents:
                continue
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "log." in text else ():
                if isinstance(node, ast.Call) and node.args and LEVEL.search(ast.unparse(node.func)):
                    for part_of in ast.walk(node.args[0]):
                        if isinstance(part_of, ast.Constant) and isinstance(part_of.value, str):
                            yield str(path.relative_to(ROOT)), part_of.value


def test_a_log_event_says_what_happened_to_what() -> None:
    known = list(events())
    assert len(known) > 120
    odd = [
        (path, event)
        for path, event in known
        if not re.fullmatch(r"[a-z]+(_[a-z]+)+", event)
        or not ((last := event.rpartition("_")[2]).endswith("ed") or last in HAPPENED | STATES)
    ]
    assert odd == []
