"""Snapshots of folders: they keep the files they were made of, cost no bytes, and are whole or not there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest
import structlog

from headrace.common.contracts.ids import FolderId, new_uuid
from headrace.common.contracts.manifest import FolderManifest, snapshot_files
from headrace.common.contracts.problems import Conflict, Unavailable
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders import scanning
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.measuring import UsageWalk
from headrace.manager.folders.snapshots import Content, Unhashed
from headrace.manager.folders.storage import FolderStorage, open_storage
from headrace.manager.folders.tree import Tree
from headrace.manager.usecases.snapshots import FolderSnapshots

FOLDER = FolderId(new_uuid())


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[FolderStorage]:
    with open_storage(tmp_path) as opened:
        opened.tree(FOLDER).create()
        yield opened


def write(storage: FolderStorage, path: str, content: bytes) -> None:
    """Write a file as an upload does: another file takes its place."""
    upload = storage.root / f".{new_uuid()}"
    upload.write_bytes(content)
    tree = storage.tree(FOLDER)
    identity = tree.put(upload, path.split("/"))
    storage.snapshots.known.add(FOLDER, [(identity, hashlib.sha256(content).hexdigest())])


def content_of(storage: FolderStorage) -> Content:
    content = storage.snapshots.content(FOLDER)
    assert isinstance(content, Content)
    return content


def made(storage: FolderStorage) -> str:
    content = content_of(storage)
    storage.snapshots.make(FOLDER, content)
    return content.snapshot_id


async def pinned(cases: FolderSnapshots) -> str:
    return (await cases.pin(FOLDER, Tree.names))[0]


def files_of(storage: FolderStorage, snapshot_id: str) -> dict[str, bytes]:
    top = storage.root / snapshot_files(FOLDER, snapshot_id)
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def walked(storage: FolderStorage) -> StorageUsage:
    walk = UsageWalk(storage.tree(FOLDER), storage.snapshots.trees(FOLDER))
    while walk.step():
        pass
    walk.close()
    return walk.found


def long_ago(storage: FolderStorage) -> None:
    for path in (storage.root / ".snapshots" / str(FOLDER)).iterdir():
        os.utime(path, (1, 1))


def test_a_snapshot_keeps_its_files_while_the_folder_changes(storage: FolderStorage) -> None:
    write(storage, "a.bin", b"old")
    write(storage, "deep/er/b.bin", b"b")
    first = made(storage)
    write(storage, "a.bin", b"new")
    storage.tree(FOLDER).delete(("deep",))
    second = made(storage)
    assert files_of(storage, first) == {"a.bin": b"old", "deep/er/b.bin": b"b"}
    assert files_of(storage, second) == {"a.bin": b"new"}


def test_the_same_content_is_the_same_snapshot_also_after_an_upload_of_the_same_files(storage: FolderStorage) -> None:
    write(storage, "a.bin", b"a")
    first = made(storage)
    write(storage, "a.bin", b"other")
    second = made(storage)
    write(storage, "a.bin", b"a")
    assert made(storage) == first != second
    assert len(storage.snapshots.trees(FOLDER)) == 2


def test_a_manifest_has_every_file_and_is_consistent(storage: FolderStorage) -> None:
    write(storage, "b", b"bb")
    write(storage, "a/c", b"")
    tree = storage.tree(FOLDER)
    with tree.directory(("empty", "er"), make=True):
        pass
    snapshot_id = made(storage)
    file = storage.snapshots.open_manifest(FOLDER, snapshot_id)
    manifest = FolderManifest.model_validate_json(file.read_at(0, file.size_bytes))
    file.close()
    assert manifest.snapshot_id == snapshot_id
    assert [(one.path, one.size_bytes) for one in manifest.files] == [("a/c", 0), ("b", 2)]
    assert (manifest.size_bytes, manifest.empty_directories) == (2, ("empty/er",))
    assert (storage.root / snapshot_files(FOLDER, snapshot_id) / "empty/er").is_dir()


def test_links_to_files_of_the_folder_are_those_files_and_others_are_left_out(storage: FolderStorage) -> None:
    """Caches of model hubs are made of such links; one that leads out must not bring another folder's files in."""
    write(storage, "blobs/1", b"weights")
    top = storage.root / str(FOLDER)
    (storage.root / "secret").write_bytes(b"secret")
    (top / "model.bin").symlink_to("blobs/1")
    (top / "again.bin").symlink_to("model.bin")
    (top / "out").symlink_to("../secret")
    (top / "absolute").symlink_to(storage.root / "secret")
    (top / "round").symlink_to("round")
    os.mkfifo(top / "pipe")
    content = content_of(storage)
    storage.snapshots.make(FOLDER, content)
    assert content.scan.left_out == 4
    assert files_of(storage, content.snapshot_id) == dict.fromkeys(("again.bin", "blobs/1", "model.bin"), b"weights")


def test_an_executable_file_is_another_content(storage: FolderStorage) -> None:
    write(storage, "run.sh", b"#!/bin/sh")
    first = content_of(storage).snapshot_id
    (storage.root / str(FOLDER) / "run.sh").chmod(0o755)
    assert content_of(storage).snapshot_id != first


def test_a_crash_between_link_and_rename_leaves_no_snapshot_and_the_next_one_is_whole(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(storage, "a", b"a")
    write(storage, "b", b"b")
    content = content_of(storage)

    def killed(*_: object) -> Never:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        patched.setattr(
            "headrace.manager.folders.snapshots.remove_tree", lambda _: None
        )  # a killed process tidies nothing
        with pytest.raises(KeyboardInterrupt):
            storage.snapshots.make(FOLDER, content)
    assert not storage.snapshots.is_there(FOLDER, content.snapshot_id)
    left = storage.root / ".snapshots" / str(FOLDER)
    assert any(path.name.startswith(".new-") for path in left.iterdir())
    storage.snapshots.make(FOLDER, content)
    assert files_of(storage, content.snapshot_id) == {"a": b"a", "b": b"b"}
    long_ago(storage)
    assert storage.snapshots.unused(FOLDER) == [content.snapshot_id]
    assert sorted(path.name for path in left.iterdir()) == sorted([content.snapshot_id, "digests"])


def test_a_folder_that_changes_while_it_is_linked_gives_no_snapshot(storage: FolderStorage) -> None:
    write(storage, "a", b"a")
    content = content_of(storage)
    write(storage, "a", b"b")
    with pytest.raises(Unavailable, match="a was changed while"):
        storage.snapshots.make(FOLDER, content)
    storage.tree(FOLDER).delete(("a",))
    with pytest.raises(Unavailable, match="a was changed while"):
        storage.snapshots.make(FOLDER, content)
    assert storage.snapshots.trees(FOLDER) == []


@pytest.mark.parametrize("why", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_files_that_cannot_be_linked_are_copied(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    write(storage, "a", b"weights")

    def refused(*_: object, **__: object) -> Never:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "link", refused)
    snapshot_id = made(storage)
    assert files_of(storage, snapshot_id) == {"a": b"weights"}
    assert (storage.root / str(FOLDER) / "a").stat().st_nlink == 1


def test_what_a_snapshot_has_counts_once_and_as_long_as_something_has_it(storage: FolderStorage) -> None:
    write(storage, "kept", b"k" * 10)
    write(storage, "gone", b"g" * 100)
    first = made(storage)
    assert walked(storage) == StorageUsage(110, 2)
    tree = storage.tree(FOLDER)
    tree.delete(("gone",))
    assert tree.change.lost == StorageUsage()  # the snapshot still has it
    assert walked(storage) == StorageUsage(110, 2)
    second = made(storage)
    long_ago(storage)
    assert storage.snapshots.remove(FOLDER, first) == StorageUsage(100, 1)
    assert walked(storage) == StorageUsage(10, 1)
    tree.delete(("kept",))
    assert storage.snapshots.remove(FOLDER, second) == StorageUsage(10, 1)
    assert walked(storage) == StorageUsage()


def test_a_snapshot_that_somebody_asked_for_is_not_removed(storage: FolderStorage) -> None:
    write(storage, "a", b"a")
    snapshot_id = made(storage)
    assert storage.snapshots.unused(FOLDER) == []
    long_ago(storage)
    assert storage.snapshots.unused(FOLDER) == [snapshot_id]
    assert storage.snapshots.is_there(FOLDER, snapshot_id)  # a request came between the two
    assert storage.snapshots.remove(FOLDER, snapshot_id) == StorageUsage()
    assert files_of(storage, snapshot_id) == {"a": b"a"}


async def test_files_of_other_writers_are_hashed_once(storage: FolderStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    top = storage.root / str(FOLDER)
    (top / "foreign").write_bytes(b"x" * 3_000_000)
    (top / "small").write_bytes(b"y")
    missing = storage.snapshots.content(FOLDER)
    assert isinstance(missing, Unhashed)
    assert (len(missing.files), missing.bytes) == (2, 3_000_001)
    cases = FolderSnapshots(storage)
    snapshot_id = await pinned(cases)
    manifest = FolderManifest.model_validate_json(await cases.pinned_manifest(FOLDER, snapshot_id))
    assert [file.sha256 for file in manifest.files] == [
        hashlib.sha256(b"x" * 3_000_000).hexdigest(),
        hashlib.sha256(b"y").hexdigest(),
    ]

    def hashed_again(*_: object) -> Never:
        raise AssertionError("an unchanged file was hashed again")

    monkeypatch.setattr(storage.hashing, "start", hashed_again)
    with open_storage(storage.root) as another:  # a manager after a restart
        monkeypatch.setattr(another.hashing, "start", hashed_again)
        assert await pinned(FolderSnapshots(another)) == snapshot_id


async def test_who_cannot_wait_for_the_digests_is_told_how_far_they_are(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    (storage.root / str(FOLDER) / "foreign").write_bytes(b"x" * 3_000_000)
    monkeypatch.setattr(storage.hashing._threads, "submit", lambda *_: None)  # the threads are busy with others
    with pytest.raises(
        Unavailable, match=r"SHA-256 of 1 files .* 0 MiB of 3 MiB are done; try again in about"
    ) as refused:
        await pinned(FolderSnapshots(storage, hashing_s=0.01))
    assert refused.value.document()["reason"] == "folder-hashing"
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_a_torn_or_foreign_line_of_known_digests_costs_itself_only(storage: FolderStorage) -> None:
    write(storage, "a", b"a")
    write(storage, "b", b"b")
    known = storage.root / ".snapshots" / str(FOLDER) / "digests"
    lines = known.read_bytes().splitlines(keepends=True)
    known.write_bytes(lines[0][:20] + b"\n" + b"\xff nonsense\n" + lines[1] + b"1 2")
    missing = storage.snapshots.content(FOLDER)
    assert isinstance(missing, Unhashed)
    assert [file.path for file in missing.files] == ["a"]
    digest = hashlib.sha256(b"a").hexdigest()
    storage.snapshots.known.add(FOLDER, [(missing.files[0].identity, digest)])
    # it was appended to the unfinished line, and both are lost; the next one counts
    storage.snapshots.known.add(FOLDER, [(missing.files[0].identity, digest)])
    assert isinstance(storage.snapshots.content(FOLDER), Content)


def test_known_digests_of_files_that_are_gone_are_dropped(storage: FolderStorage) -> None:
    for number in range(1200):
        storage.snapshots.known.add(FOLDER, [(FileIdentity(10**9 + number, 1, 1), "0" * 64)])
    write(storage, "a", b"a")
    known = storage.root / ".snapshots" / str(FOLDER) / "digests"
    first = content_of(storage).snapshot_id
    assert len(known.read_bytes().splitlines()) == 1
    assert content_of(storage).snapshot_id == first


def test_a_folder_with_too_many_files_is_refused_with_the_numbers(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "MAX_MANIFEST_ENTRIES", 3)
    for number in range(4):
        write(storage, f"{number}", b"")
    with pytest.raises(Conflict, match="more than 3 files and directories; a revision can pin at most 3"):
        storage.snapshots.content(FOLDER)


async def test_ten_thousand_files_are_pinned_and_found_again(storage: FolderStorage) -> None:
    top = storage.root / str(FOLDER)
    for directory in range(100):
        (top / f"{directory:02}").mkdir()
        for number in range(100):
            (top / f"{directory:02}/{number:02}").write_bytes(b"%d %d" % (directory, number))
    cases = FolderSnapshots(storage)
    snapshot_id = await pinned(cases)
    assert await cases.is_changed(FOLDER, snapshot_id) is False
    manifest = FolderManifest.model_validate_json(await cases.manifest(FOLDER))
    assert (manifest.snapshot_id, len(manifest.files)) == (snapshot_id, 10_000)
    assert len(files_of(storage, snapshot_id)) == 10_000
    write(storage, "50/50", b"another")
    assert await FolderSnapshots(storage).is_changed(FOLDER, snapshot_id) is True


async def test_creates_at_once_make_one_snapshot(storage: FolderStorage) -> None:
    write(storage, "a", b"a")
    cases = FolderSnapshots(storage)
    ids = await asyncio.gather(*(pinned(cases) for _ in range(20)))
    assert len(set(ids)) == 1
    assert [tree.path.parent.name for tree in storage.snapshots.trees(FOLDER)] == [ids[0]]


async def test_a_folder_that_is_written_to_all_the_time_is_refused_with_the_reason(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(storage, "a", b"a")
    make = storage.snapshots.make

    def disturbed(*args: Any) -> None:
        write(storage, "a", os.urandom(8))
        make(*args)

    monkeypatch.setattr(storage.snapshots, "make", disturbed)
    with pytest.raises(Unavailable, match="changed 3 times") as refused:
        await pinned(FolderSnapshots(storage))
    assert refused.value.document()["reason"] == "folder-changing"


def test_a_deleted_folder_leaves_nothing(storage: FolderStorage) -> None:
    write(storage, "a", b"a")
    made(storage)
    storage.snapshots.remove_all(FOLDER)
    assert list((storage.root / ".snapshots").iterdir()) == []
    assert Tree(storage.root, FOLDER).exists()


async def test_a_large_folder_is_not_scanned_for_each_question(storage: FolderStorage) -> None:
    now = 1000.0
    cases = FolderSnapshots(storage, few_files=0, monotonic=lambda: now)
    write(storage, "a", b"a")
    snapshot_id = await pinned(cases)
    assert await cases.is_changed(FOLDER, snapshot_id) is False
    write(storage, "a", b"b")
    assert await cases.is_changed(FOLDER, snapshot_id) is False, "it was looked at just now"
    now += 0.001
    assert await cases.is_changed(FOLDER, snapshot_id) is True


async def test_a_folder_that_is_gone_or_has_too_many_files_has_changed(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(storage, "a", b"a")
    cases = FolderSnapshots(storage)
    snapshot_id = await pinned(cases)
    monkeypatch.setattr(scanning, "MAX_MANIFEST_ENTRIES", 0)
    assert await cases.is_changed(FOLDER, snapshot_id) is True
    storage.tree(FOLDER).remove()
    assert await cases.is_changed(FOLDER, snapshot_id) is True


async def test_a_file_that_was_edited_in_place_is_told_in_the_log(storage: FolderStorage) -> None:
    write(storage, "a", b"a")
    cases = FolderSnapshots(storage)
    await pinned(cases)
    with (storage.root / str(FOLDER) / "a").open("ab") as file:
        file.write(b" and more")
    (storage.root / str(FOLDER) / "new").write_bytes(b"n")
    with structlog.testing.capture_logs() as told:
        await pinned(cases)
    assert [(line["event"], line["path"]) for line in told] == [("snapshot_file_changed", "a")]


async def test_a_storage_that_hangs_keeps_nobody_from_seeing_a_service(
    storage: FolderStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, go_on, asked = 1000.0, threading.Event(), 0

    def hangs(_: FolderId) -> Never:
        nonlocal asked
        asked += 1
        go_on.wait(60)
        raise OSError

    monkeypatch.setattr(storage.snapshots, "content", hangs)
    cases = FolderSnapshots(storage, answer_s=0.01, monotonic=lambda: now)
    try:
        assert await cases.is_changed(FOLDER, "0" * 64) is None
        assert await cases.is_changed(FOLDER, "0" * 64) is None
        assert asked == 1
        now += 11
        assert await cases.is_changed(FOLDER, "0" * 64) is None
        assert asked == 2
    finally:
        go_on.set()
