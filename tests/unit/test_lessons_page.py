"""docs/lessons.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_lesson_has_a_test_that_is_there() -> None:
    rows = [line for line in (ROOT / "docs/lessons.md").read_text().splitlines() if line.startswith("| ")]
    lessons = [row for row in rows if not row.startswith("| what went wrong")]
    assert len(lessons) > 15
    assert [row for row in lessons if not _TEST.search(row)] == []
    named = {found for row in lessons for found in _TEST.findall(row)}
    assert [f"{file}::{name}" for file, name in sorted(named) if f"def {name}(" not in (ROOT / file).read_text()] == []
