"""Set-user-id programs in folders that containers may write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.agent.runtime.docker import shared_files
from headrace.agent.runtime.docker.shared_files import MAX_FOLDER_DEPTH, clear_setuid


def program(path: Path, mode: int = 0o6755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)
    return path


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


def test_programs_lose_the_right_and_nothing_else_changes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    armed = [program(folder / "a"), program(folder / "deep/er/b", 0o4711), program(folder / "deep/c", 0o2755)]
    plain = program(folder / "plain", 0o640)
    (folder / "deep").chmod(0o2775)  # on a folder it is who owns what is made there
    assert clear_setuid(folder) == 3
    assert [mode_of(path) for path in armed] == [0o755, 0o711, 0o755]
    assert (mode_of(plain), mode_of(folder / "deep")) == (0o640, 0o2775)
    assert clear_setuid(folder) == 0


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    outside = program(tmp_path / "outside/sudo")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)
    assert clear_setuid(folder) == 0
    assert mode_of(outside) == 0o6755


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = program(tmp_path / "outside/below/sudo")
    program(tmp_path / "folder/deep/below/mine")
    real = shared_files.clear_in

    def swapping(fd: int, most: int) -> tuple[list[str], int, int]:
        found = real(fd, most)
        if "below" in found[0]:  # `deep` was read, `below` waits for its turn
            (tmp_path / "folder/deep").rename(tmp_path / "away")
            (tmp_path / "folder/deep").symlink_to(outside.parent.parent)
        return found

    monkeypatch.setattr(shared_files, "clear_in", swapping)
    assert clear_setuid(tmp_path / "folder") == 0
    assert mode_of(outside) == 0o6755


def test_the_walk_is_bounded_in_entries_and_depth_and_keeps_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = program(tmp_path.joinpath("folder", *["d"] * MAX_FOLDER_DEPTH, "x"))
    beyond = program(within.parent / "d/x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert clear_setuid(tmp_path / "folder") == 1
    assert (mode_of(within), mode_of(beyond)) == (0o755, 0o6755)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # what earlier tests dropped may be closed meanwhile
    monkeypatch.setattr(shared_files, "MAX_VISITED_ENTRIES", 10)
    for number in range(30):
        program(tmp_path / "many" / str(number))
    assert clear_setuid(tmp_path / "many") == 10
