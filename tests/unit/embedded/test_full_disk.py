"""When a server that met a full disk is started anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.embedded import fulldisk
from headrace.embedded.fulldisk import FULL_BYTES, ROOM_BYTES, FullDisk
from headrace.embedded.logs import bound


class DiskAndLog:
    """A disk and a log."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 10 * ROOM_BYTES
        self.log = folder / "nats.log"
        monkeypatch.setattr(fulldisk, "free_bytes", lambda _: self.free)
        self.watch = FullDisk(folder, self.log)

    def says(self, line: str) -> None:
        with self.log.open("a") as file:
            file.write(line + "\n")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskAndLog:
    return DiskAndLog(tmp_path, monkeypatch)


def test_a_failed_write_in_the_log_counts_once_and_only_with_room(world: DiskAndLog) -> None:
    assert world.watch.recovered() is None  # there is no log yet
    world.says("[INF] Server is ready")
    assert world.watch.recovered() is None
    world.free = ROOM_BYTES - 1
    world.says("[ERR] failed to store a msg: write 1.blk: no space left on device")
    assert world.watch.recovered() is None
    world.free = ROOM_BYTES
    assert world.watch.recovered() == "its disk was full, and now 16 MiB are free"
    assert world.watch.recovered() is None


def test_a_disk_that_was_full_counts_though_the_log_could_not_say_so(world: DiskAndLog) -> None:
    world.says("[INF] Server is ready")
    world.free = FULL_BYTES - 1
    assert world.watch.recovered() is None
    world.free = ROOM_BYTES
    assert world.watch.recovered() is not None


def test_a_log_that_was_emptied_is_read_from_its_beginning(world: DiskAndLog) -> None:
    world.says("x" * 1000)
    assert world.watch.recovered() is None
    world.log.write_text("no space left on device\n")
    assert world.watch.recovered() is not None


def test_a_long_log_is_emptied_also_where_there_is_no_room_for_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"x" * 100)

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headrace.embedded.logs.shutil.copyfile", no_room)
    assert bound(log, 10)
    assert log.stat().st_size == 0
