"""A page of a folder's files: the order of whole paths, any cursor, and work that does not grow with the folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.common.contracts.problems import Conflict
from headrace.manager.folders import listing
from headrace.manager.folders.listing import entry_of
from headrace.manager.folders.tree import Tree
from tests.support.effort import examples

NAMES = st.sampled_from(["a", "a-", "a.b", "a0", "b", "-", "ü", "a-b", "z"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=25)


def make(root: Path, paths: list[str]) -> None:
    for path in paths:
        file = root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.write_bytes(b"1")
        except (FileExistsError, NotADirectoryError):
            continue  # a file of that name is on the way


def pages(tree: Tree, *, recursive: bool, limit: int, below: tuple[str, ...] = ()) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page, more = tree.files(below, recursive=recursive, after=after, limit=limit)
        found += [file.path for file in page]
        if not more:
            return found
        after = found[-1]


@given(paths=PATHS, limit=st.integers(1, 5))
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_pages_together_are_everything_once_in_the_order_of_paths(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], limit: int
) -> None:
    root = tmp_path_factory.mktemp("folders") / "f"
    root.mkdir()
    make(root, paths)
    everything = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    tree = Tree(root.parent, "f")
    assert pages(tree, recursive=True, limit=limit) == everything
    assert pages(tree, recursive=False, limit=limit) == [path for path in everything if "/" not in path]
    for cursor in [*everything, "a", "a/", "a/zz", "b-"]:
        page, _ = tree.files((), recursive=True, after=cursor, limit=1000)
        assert [file.path for file in page] == [path for path in everything if path > cursor]


def test_a_page_asks_for_the_facts_of_what_it_shows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "f"
    for directory in range(20):
        (root / f"d{directory:02d}").mkdir(parents=True)
        for file in range(100):
            (root / f"d{directory:02d}" / f"{file:03d}").touch()
    calls: Counter[str] = Counter()
    for name in ("stat", "scandir"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _n=name, _r=real, **k: (calls.update([_n]), _r(*a, **k))[1])
    page, more = Tree(tmp_path, "f").files((), recursive=True, after="d10/050", limit=3)
    assert ([file.path for file in page], more) == (["d10/051", "d10/052", "d10/053"], True)
    assert calls["stat"] <= 5
    assert calls["scandir"] == 2, "the folder and the one directory in which the cursor lies"


def test_links_take_no_room_on_a_page(tmp_path: Path) -> None:
    root = tmp_path / "f"
    root.mkdir()
    for number in range(600):
        (root / f"link{number:03d}").symlink_to("nowhere")
    (root / "zz").touch()
    page, more = Tree(tmp_path, "f").files((), recursive=False, after="", limit=1)
    assert [file.path for file in page] == ["zz"]
    assert pages(Tree(tmp_path, "f"), recursive=True, limit=1) == ["zz"]
    assert more


def test_links_and_special_files_are_listed_by_kind_where_everything_is_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "f"
    (root / "d").mkdir(parents=True)
    (root / "d/to-d").symlink_to(".")
    (root / "a").write_bytes(b"12")
    os.mkfifo(root / "pipe")
    (root / "to-nothing").symlink_to("nowhere")
    tree = Tree(tmp_path, "f")
    found: list[tuple[str, str, int]] = []
    more = True
    while more:
        after = found[-1][0] if found else ""
        page, more = tree.files((), recursive=True, everything=True, after=after, limit=2)
        found += [(file.path, file.kind, file.size_bytes) for file in page]
    assert found == [
        ("a", "file", 2),
        ("d", "directory", 0),
        ("d/to-d", "link", 0),
        ("pipe", "special", 0),
        ("to-nothing", "link", 0),
    ]
    (one,), _ = tree.files(("d", "to-d"), recursive=True, everything=True, after="", limit=2)
    assert (one.path, one.kind) == ("d/to-d", "link")
    assert pages(tree, recursive=True, limit=2) == ["a", "d"]
    with pytest.raises(Conflict):
        tree.files(("d", "to-d"), recursive=True, after="", limit=2)


def test_a_page_that_looked_at_much_ends_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "ENOUGH_ENTRIES", 10)
    root = tmp_path / "f"
    make(root, [f"d{directory}/{file}" for directory in range(5) for file in range(8)])
    page, more = Tree(tmp_path, "f").files((), recursive=True, after="", limit=1000)
    assert more
    assert len(page) < 45
    assert len(pages(Tree(tmp_path, "f"), recursive=True, limit=1000)) == 45


def test_a_directory_of_too_many_entries_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_DIRECTORY_ENTRIES", 5)
    make(tmp_path / "f", [f"deep/{file}" for file in range(6)])
    tree = Tree(tmp_path, "f")
    assert [file.path for file in tree.files((), recursive=False, after="", limit=10)[0]] == ["deep"]
    with pytest.raises(Conflict, match="deep: more than 5"):
        tree.files(("deep",), recursive=False, after="", limit=10)


@pytest.mark.parametrize(("seconds", "year"), [(2**40, 9999), (-(2**40), 1), (1_800_000_000, 2027)])
def test_a_time_that_no_year_can_say_is_told_as_the_nearest(seconds: int, year: int) -> None:
    facts = os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, 0, 0, seconds, 0))
    found = entry_of("a", facts).modified_at
    assert found.year == year
    assert found.utcoffset() == timedelta()
