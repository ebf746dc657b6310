"""Files of a backup: what is written comes back, and no entry leads out of the folder that it is put in."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from headrace.backup import trees
from headrace.backup.archive import Writer
from headrace.backup.errors import BackupError
from headrace.backup.trees import TreeReader, TreeWriter
from headrace.common.contracts.manifest import SNAPSHOTS

ME = (os.getuid(), os.getgid())


def packed(root: Path) -> tuple[TreeWriter, tarfile.TarFile]:
    out = io.BytesIO()
    writer = Writer(out)
    tree = TreeWriter(writer)
    tree.write(root)
    writer.close()
    out.seek(0)
    return tree, tarfile.open(fileobj=out, mode="r:", errors="surrogateescape")


def put(into: Path, archive: tarfile.TarFile) -> None:
    tree = TreeReader(into, ME)
    try:
        for info in archive:
            tree.put(info, archive.extractfile(info) if info.isreg() else None)
    finally:
        tree.close()


def test_names_modes_times_and_links_come_back(tmp_path: Path) -> None:
    root, back = tmp_path / "root", tmp_path / "back"
    (root / "a/empty").mkdir(parents=True)
    back.mkdir()
    (root / ".uploads").mkdir()
    (root / ".uploads/x").write_text("incomplete")
    (root / "a/file").write_bytes(os.urandom(3 << 20))
    (root / "a/file").chmod(0o755)
    os.utime(root / "a/file", ns=(1, 1_234_567_890_123_456_789))
    os.link(root / "a/file", root / "a/other")
    (root / "a/link").symlink_to("/etc/passwd")
    (root / ("a/" + "n" * 200)).write_text("a long name")
    (root / os.fsdecode(b"a/\xff")).write_text("a name that is no text")
    os.mkfifo(root / "a/pipe")
    tree, archive = packed(root)
    put(back, archive)
    assert (tree.packed.files, tree.packed.left_out, tree.packed.changed) == (3, 1, 0)
    found = {str(path.relative_to(back)) for path in back.rglob("*")}
    assert found == {"a", "a/empty", "a/file", "a/other", "a/link", "a/" + "n" * 200, os.fsdecode(b"a/\xff")}
    assert (back / "a/file").read_bytes() == (root / "a/file").read_bytes()
    assert (back / "a/file").stat().st_mode & 0o777 == 0o755
    assert (back / "a/file").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (back / "a/file").samefile(back / "a/other")
    assert (back / "a/link").readlink() == Path("/etc/passwd")


def test_digests_by_inode_are_left_to_where_these_inodes_are(tmp_path: Path) -> None:
    there = tmp_path / SNAPSHOTS / "folder-1"
    (there / "snapshot-1/digests").mkdir(parents=True)
    (there / "digests").write_text("1 2 3 abc")
    (tmp_path / "folder-1").mkdir()
    (tmp_path / "folder-1/digests").write_text("a user's file")
    _, archive = packed(tmp_path)
    found = {name.removeprefix("folders/") for name in archive.getnames()}
    below = f"{SNAPSHOTS}/folder-1"
    assert found == {
        SNAPSHOTS,
        below,
        f"{below}/snapshot-1",
        f"{below}/snapshot-1/digests",
        "folder-1",
        "folder-1/digests",
    }


def test_what_lies_too_deep_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_DEPTH", 3)
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    tree, archive = packed(tmp_path)
    assert archive.getnames() == ["folders/a", "folders/a/b", "folders/a/b/c"]
    assert tree.packed.left_out == 1


def test_a_file_with_more_names_than_are_remembered_is_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MAX_LINKS", 0)
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    tree, _ = packed(tmp_path)
    assert tree.packed.files == 2


def test_a_root_that_is_not_there_is_empty(tmp_path: Path) -> None:
    tree, archive = packed(tmp_path / "none")
    assert (tree.packed.files, archive.getnames()) == (0, [])


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "info",
    [
        entry("folders/../x"),
        entry("folders/a/../../x"),
        entry("folders//etc/x"),
        entry("/etc/x"),
        entry("other/x"),
        entry("folders/."),
        entry("folders/.uploads"),
        entry("folders/.restoring", tarfile.DIRTYPE),
        entry("folders/x", tarfile.CHRTYPE),
        entry("folders/x", tarfile.LNKTYPE, "folders/../../outside"),
        entry("folders/x", tarfile.LNKTYPE, "/etc/passwd"),
    ],
    ids=lambda info: f"{info.name} {info.linkname}",
)
def test_an_entry_that_leads_elsewhere_is_refused(tmp_path: Path, info: tarfile.TarInfo) -> None:
    (tmp_path / "outside").write_text("mine")
    into = tmp_path / "into"
    into.mkdir()
    tree = TreeReader(into, ME)
    try:
        with pytest.raises(BackupError, match=r"the backup has an entry|is no file"):
            tree.put(info, io.BytesIO(b"theirs") if info.isreg() else None)
    finally:
        tree.close()
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("info", [entry("folders/a/x"), entry("folders/y", tarfile.LNKTYPE, "folders/a/outside")])
def test_nothing_is_put_through_a_link(tmp_path: Path, info: tarfile.TarInfo) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/outside").write_text("mine")
    into = tmp_path / "into"
    into.mkdir()
    tree = TreeReader(into, ME)
    try:
        tree.put(entry("folders/a", tarfile.SYMTYPE, str(tmp_path / "elsewhere")), None)
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            tree.put(info, io.BytesIO(b"theirs"))
    finally:
        tree.close()
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["outside"]
    assert not (into / "y").exists()
