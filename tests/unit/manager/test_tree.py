"""Files of a folder: what kernels with a writable mount may have left there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from headrace.common.contracts.manifest import MAX_DEPTH
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders import tree as trees
from headrace.manager.folders.tree import Tree
from tests.unit.common.test_removal import DEPTH, dig


def test_a_folder_of_any_depth_is_listed_as_far_as_paths_lead_and_deleted(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "folder")
    tree.create()
    (tree.path / "top").mkdir()
    dig(tree.path / "top", DEPTH)
    deepest = max(len(file.path.split("/")) for file in tree.files((), recursive=True, after="", limit=1000)[0])
    assert deepest == MAX_DEPTH + 1
    tree.delete(("top",))
    assert tree.files((), recursive=True, after="", limit=1000) == ([], False)
    dig(tree.path, DEPTH)
    tree.remove()
    assert not tree.exists()


@pytest.mark.parametrize("other", ["put", "delete"])
def test_a_file_that_two_requests_take_the_place_of_is_taken_off_the_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    first, second = Tree(tmp_path, "folder"), Tree(tmp_path, "folder")
    first.create()
    for name, size in (("large", 1000), ("one", 1), ("two", 2)):
        (tmp_path / name).write_bytes(bytes(size))
    first.put(tmp_path / "large", ["a"])
    seen = trees.facts_of

    def meanwhile() -> None:
        second.put(tmp_path / "two", ["a"]) if other == "put" else second.delete(["a"])

    thread = threading.Thread(target=meanwhile)

    def looked(fd: int, name: str) -> os.stat_result | None:
        found = seen(fd, name)
        monkeypatch.setattr(trees, "facts_of", seen)
        thread.start()
        thread.join(0.5)  # where nothing holds it back it has ended long before
        return found

    monkeypatch.setattr(trees, "facts_of", looked)
    first.put(tmp_path / "one", ["a"])
    thread.join()
    left = list(first.path.iterdir())
    assert first.added + second.added == StorageUsage(sum(path.stat().st_size for path in left), len(left))
