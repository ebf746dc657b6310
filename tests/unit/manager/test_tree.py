"""Files of a folder: what kernels with a writable mount may have left there."""

from __future__ import annotations

from pathlib import Path

from headrace.manager.domain.paths import MAX_DEPTH
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
