"""Files are replaced whole: what a reader finds, what a failure leaves, and what is on the disk when it returns."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from headrace.common.runtime.files import remove_leftovers, sync_folder, write_atomically


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was brought to the disk: `file` or `folder`, in order."""
    seen: list[str] = []
    usual = os.fsync

    def fsync(fd: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        usual(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_a_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_atomically(file, "one, and longer")
    with file.open() as reader:
        write_atomically(file, b"two")
        assert reader.read() == "one, and longer"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("two", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_durable_file_is_synced_before_its_name_and_its_folder_after(tmp_path: Path, synced: list[str]) -> None:
    write_atomically(tmp_path / "f", "x")
    assert synced == ["file", "folder"]


def test_a_caller_who_replaces_many_syncs_their_folder_once(tmp_path: Path, synced: list[str]) -> None:
    for name in ("a", "b"):
        write_atomically(tmp_path / name, "x", names_too=False)
    sync_folder(tmp_path)
    assert synced == ["file", "file", "folder"]


def test_what_need_not_be_durable_waits_for_no_disk(tmp_path: Path, synced: list[str]) -> None:
    write_atomically(tmp_path / "f", "x", durable=False)
    assert synced == []


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    write_atomically(file, "old")

    def no_room(fd: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="no room"):
        write_atomically(file, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "old")]


def test_what_a_killed_process_left_is_written_over_or_removed(tmp_path: Path) -> None:
    mine, other = tmp_path / f".f.{os.getpid()}.new", tmp_path / ".f.1.new"
    mine.write_text("half")
    other.write_text("half")
    write_atomically(tmp_path / "f", "whole")
    assert (tmp_path / "f").read_text() == "whole"
    assert not mine.exists()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]
