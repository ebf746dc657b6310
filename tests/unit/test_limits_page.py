"""docs/limits.md names what is in the code, and each bound once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "limits.md"


@cache
def files() -> dict[str, str]:
    """Return the code: path → text."""
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for part in ("libs", "services")
        for path in (ROOT / part).rglob("*")
        if path.suffix in {".py", ".sql", ".sh"}
    }


@cache
def words_of() -> dict[str, set[str]]:
    """Return the words of each file."""
    return {path: set(re.findall(r"\w+", text)) for path, text in files().items()}


def rows() -> Iterator[tuple[str, list[str]]]:
    """Section and cells of each row of the tables of bounds; what was measured stands in tables of its own."""
    section, bounds = "", False
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif not line.startswith("|"):
            bounds = False
        elif line.startswith("| what |"):
            bounds = True
        elif bounds and line.startswith("| "):
            yield section, [cell.strip() for cell in line.strip()[1:-1].split("|")]


def is_there(name: str) -> bool:
    """Whether `name` is a file or folder of the code, or `file.NAME`, `Class.field`, `NAME`, `call(argument)` in it."""
    if any(path.endswith(f"/{name}") or f"/{name}/" in path for path in files()):
        return True
    owner, _, rest = name.rpartition(".")
    words = re.findall(r"\w+", rest)
    places = [path for path in files() if not owner or path.endswith(f"/{owner}.py")]
    places = places or [path for path, text in files().items() if f"class {owner}" in text]
    return bool(words) and all(any(word in words_of()[path] for path in places) for word in words)


def test_where_a_bound_is_said_to_be_there_is_something_of_that_name() -> None:
    named = {name for _, (_, _, where, *_) in rows() for name in re.findall(r"`([^`]+)`", where)}
    assert len(named) > 100
    assert {name for name in named if not is_there(name)} == set()
    assert not is_there("newest.MAX_NAMED_SO")


def test_each_thing_stands_once_in_its_section_and_every_row_is_whole() -> None:
    assert [cells[0] for _, cells in rows() if len(cells) != 5] == []
    assert [
        what for what, times in Counter((section, cells[0]) for section, cells in rows()).items() if times > 1
    ] == []


def test_a_constant_that_bounds_something_is_a_max_or_min_of_it() -> None:
    assert [
        f"{path}: {word}" for path, words in words_of().items() for word in words if re.match("_?(MOST|LEAST)_", word)
    ] == []
