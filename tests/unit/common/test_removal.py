"""Removing folders that somebody else filled: of any depth, and through no link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.common.runtime.removal import remove_tree

DEPTH = 1200
"""More levels than Python has stack frames, and a path longer than the system takes."""


def dig(folder: Path, levels: int) -> None:
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deep", dir_fd=fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
        below = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def test_any_depth(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    dig(folder, DEPTH)
    remove_tree(folder)
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "kept").write_text("x")
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "link").symlink_to(outside, target_is_directory=True)
    (folder / "a" / "b" / "link").symlink_to(outside / "sub", target_is_directory=True)
    (folder / "a" / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "a" / "pipe")
    remove_tree(folder)
    assert not folder.exists()
    assert (outside / "sub" / "kept").read_text() == "x"


def test_a_link_instead_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "folder").symlink_to(outside, target_is_directory=True)
    with pytest.raises(OSError, match="folder"):
        remove_tree(tmp_path / "folder")
    assert outside.is_dir()


def test_below_a_descriptor_and_gone_already(tmp_path: Path) -> None:
    (tmp_path / "folder" / "a").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        remove_tree("folder", dir_fd=fd)
        remove_tree("folder", dir_fd=fd)
    finally:
        os.close(fd)
    assert list(tmp_path.iterdir()) == []
