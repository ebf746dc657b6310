"""Files of an archive, on their way to the disk: what is answered for is there after a power cut, with little work for each."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.storage import FolderStorage, open_storage
from headrace.manager.folders.unpacking import Unpacker

FILES = 500


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FolderStorage]:
    with open_storage(tmp_path / "folders", reserve_bytes=0) as opened:
        yield opened


def archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(FILES):
            entry = tarfile.TarInfo(f"d{number // 100}/e/f{number}")
            entry.size, entry.pax_headers = 4096, {"mtime": "1700000000.5"}
            tar.addfile(entry, io.BytesIO(os.urandom(4096)))
    return made.getvalue()


def unpacked(storage: FolderStorage) -> Path:
    tree = storage.tree("folder")
    tree.create()
    unpacker = Unpacker(tree, storage.partials, storage.flushing, new_uuid, into=(), max_bytes=2**20)
    unpacker.allow(StorageUsage(2**40, 2**20))
    data = archive()
    for start in range(0, len(data), 2**20):
        unpacker.feed(data[start : start + 2**20])
    assert unpacker.finish().files == FILES
    unpacker.close()
    return tree.path


def test_content_is_on_the_disk_before_it_has_a_name_and_names_before_it_is_answered_for(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace = os.fsync, os.replace
    synced: set[int] = set()
    unsynced: set[tuple[int, int]] = set()
    lock = threading.Lock()

    def key(facts: os.stat_result) -> tuple[int, int]:
        return facts.st_dev, facts.st_ino

    def syncs(fd: int) -> None:
        fsync(fd)
        with lock:
            synced.add(os.fstat(fd).st_ino)
            unsynced.discard(key(os.fstat(fd)))

    def replaces(source: Path, name: str, *, dst_dir_fd: int) -> None:
        facts = source.stat()
        assert facts.st_ino in synced
        assert facts.st_mtime == 1700000000.5  # and on the disk with it
        replace(source, name, dst_dir_fd=dst_dir_fd)
        unsynced.add(key(os.fstat(dst_dir_fd)))

    monkeypatch.setattr(os, "fsync", syncs)
    monkeypatch.setattr(os, "replace", replaces)
    root = unpacked(storage)
    assert not unsynced
    directories = [root, *(path for path in root.rglob("*") if path.is_dir())]
    assert {path.stat().st_ino for path in directories} <= synced  # those that were made are in synced ones


def test_a_file_costs_few_calls_of_the_system(storage: FolderStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            calls[name] += 1
            return real(*args, **more)

        monkeypatch.setattr(os, name, call)

    for name in ("open", "fsync", "replace", "mkdir", "statvfs", "chmod", "utime", "stat"):
        counted(name)
    unpacked(storage)
    assert calls["replace"] == FILES
    assert calls["fsync"] <= FILES * 1.1
    assert calls["open"] <= FILES * 1.25
    assert calls["mkdir"] + calls["statvfs"] <= FILES * 0.2
    assert calls["stat"] <= FILES * 1.1
    assert calls["chmod"] == 0
    assert calls["utime"] == FILES
