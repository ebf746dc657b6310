"""Moves inside a folder: nothing is replaced, nothing is lost."""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path

import pytest

from headrace.common.contracts.problems import Conflict, NotFound
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders import moving
from headrace.manager.folders.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path, "folder")
    made.create()
    (made.path / "a").write_text("first")
    (made.path / "d").mkdir()
    (made.path / "d" / "x").write_text("x")
    (made.path / "out").symlink_to("/etc")
    return made


class WithoutFlags:
    """A storage that renames, but cannot tell what is there in the same step, as NFS."""

    @staticmethod
    def renameat2(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1


@pytest.mark.parametrize("flags", [True, False])
def test_files_and_directories_move_and_replace_nothing(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, *, flags: bool
) -> None:
    if not flags:
        monkeypatch.setattr(moving, "LIBC", WithoutFlags)
    moving.move(tree, ("a",), ("new", "deep", "b"))
    assert (tree.path / "new/deep/b").read_text() == "first"
    assert tree.added == StorageUsage(files=2), "the directories above it"
    moving.move(tree, ("d",), ("new", "d"))
    assert (tree.path / "new/d/x").read_text() == "x"
    (tree.path / "a").write_text("second")
    (tree.path / "empty").mkdir()
    for to in (("new", "deep", "b"), ("new", "d"), ("empty",), ("out",)):
        with pytest.raises(Conflict, match="already"):
            moving.move(tree, ("a",), to)
        with pytest.raises(Conflict, match="already"):
            moving.move(tree, ("new", "deep"), to)
    assert (tree.path / "a").read_text() == "second"
    assert (tree.path / "new/deep/b").read_text() == "first"


def test_what_is_not_there_and_what_leads_out_is_refused(tree: Tree) -> None:
    with pytest.raises(NotFound, match="nothing at none"):
        moving.move(tree, ("none",), ("made", "b"))
    assert not (tree.path / "made").exists()
    for to in (("out", "b"), ("a", "b")):
        with pytest.raises(Conflict):
            moving.move(tree, ("d",), to)
    with pytest.raises(Conflict):
        moving.move(tree, ("out", "hosts"), ("hosts",))
    assert (tree.path / "d/x").read_text() == "x"


def test_a_directory_is_made_with_those_above_it_and_counted_once(tree: Tree) -> None:
    assert moving.make_directory(tree, ("one", "two"))
    assert not moving.make_directory(tree, ("one", "two"))
    assert tree.added == StorageUsage(files=2)
    with pytest.raises(Conflict):
        moving.make_directory(tree, ("a", "below"))
    with pytest.raises(Conflict):
        moving.make_directory(tree, ("a",))
