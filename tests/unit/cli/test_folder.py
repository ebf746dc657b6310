"""`headrace folder`: files go up and down whole, several at once, and an upload that broke off goes on."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from headrace.common.contracts.http.folders import FileView
from headrace.sdk import TreeError, TreeFile
from headrace.sdk.trees.download import local_paths
from headrace.sdk.trees.plan import plan_upload
from tests.support.fakes.manager_api import MODIFIED, NOW, FakeManagerApi, Upload, problem, uid
from tests.support.worlds.cli import Cli

FOLDER = {"id": uid(5), "name": "chat", "project_id": uid(2), "usage_mode": "model", "created_at": NOW}
UPLOADS = f"/v1/folders/{uid(5)}/uploads"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "weights").mkdir(parents=True)
    (folder / "model-definition.yaml").write_text("models: []\n")
    (folder / "weights/a.bin").write_bytes(b"a" * 5_000_000)
    (folder / "weights/b.bin").write_bytes(b"b" * 1000)
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture(autouse=True)
def _folder(there: FakeManagerApi) -> None:
    there.on("GET", "/v1/folders/chat", FOLDER)


def test_a_directory_goes_up_with_its_content(cli: Cli, there: FakeManagerApi, model: Path) -> None:
    ran = cli("folder", "upload", "chat", model)
    assert ran.code == 0, ran.err
    assert there.files == {str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    assert "4 files" in ran.out
    assert "4.8 MiB of 4.8 MiB" in ran.err


def test_files_go_where_they_are_told_to(cli: Cli, there: FakeManagerApi, model: Path) -> None:
    ran = cli("--json", "folder", "upload", "chat", model / "empty", model / "weights/b.bin", "--to", "/some/where/")
    assert ran.code == 0, ran.err
    assert sorted(there.files) == ["some/where/b.bin", "some/where/empty"]
    assert ran.json == {
        "folder": "chat",
        "files": ["some/where/empty", "some/where/b.bin"],
        "bytes": 1000,
        "directories": [],
        "left_out": [],
        "skipped": [],
    }
    assert ran.err == ""


def test_a_broken_upload_goes_on_when_the_command_is_run_again(
    cli: Cli, there: FakeManagerApi, model: Path, home: Path
) -> None:
    file = model / "weights/a.bin"
    there.faults.extend(["half", "500"])
    broken = cli("folder", "upload", "chat", file)
    assert broken.code == 1
    (upload_id,) = there.uploads
    arrived = len(there.uploads[upload_id].content)
    assert 0 < arrived < 5_000_000
    there.seen.clear()
    ran = cli("folder", "upload", "chat", file)
    assert ran.code == 0, ran.err
    assert ("HEAD", f"{UPLOADS}/{upload_id}") in there.seen
    assert ("POST", UPLOADS) not in there.seen, "no new upload was begun"
    assert there.files == {"a.bin": file.read_bytes()}
    assert json.loads((home / ".local/state/headrace/uploads.json").read_text()) == {}


def test_a_changed_file_is_sent_anew(cli: Cli, there: FakeManagerApi, model: Path) -> None:
    file = model / "weights/a.bin"
    there.faults.extend(["half", "500"])
    assert cli("folder", "upload", "chat", file).code == 1
    file.write_bytes(b"c" * 5_000_000)
    assert cli("folder", "upload", "chat", file).code == 0
    assert there.files == {"a.bin": file.read_bytes()}


def test_what_does_not_exist_is_not_begun(cli: Cli, there: FakeManagerApi, model: Path, tmp_path: Path) -> None:
    ran = cli("folder", "upload", "chat", model, tmp_path / "nope")
    assert (ran.code, "nope" in ran.err) == (1, True)
    assert there.files == {}
    (tmp_path / "nothing").mkdir()
    assert cli("folder", "upload", "chat", tmp_path / "nothing").code == 1


def test_what_cannot_be_sent_is_named_with_its_reason_and_the_rest_goes_up(
    cli: Cli, there: FakeManagerApi, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "nothing/in/it").mkdir(parents=True)
    (model / "to-directory").symlink_to(model / "weights")
    (model / "to-nothing").symlink_to(model / "gone")
    (model / "to-file").symlink_to(model / "weights/b.bin")
    os.mkfifo(model / "pipe")
    monkeypatch.chdir(model)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock")
    Path(os.fsdecode(os.fsencode(model) + b"/\xff")).write_bytes(b"1")
    (model / "refused").write_bytes(b"1")
    (model / "refused-large").write_bytes(b"1" * 2_000_000)
    there.refused = {"refused": "a directory", "refused-large": "a directory"}
    ran = cli("folder", "upload", "chat", model)
    assert ran.code == 1
    lines = {
        line.partition(": ")[0].rpartition("/")[2].removeprefix("left out "): line.partition(": ")[2]
        for line in ran.err.splitlines()
        if line.startswith("left out ")
    }
    assert lines == {
        "to-directory": "a link to a directory",
        "to-nothing": "a link to nothing",
        "pipe": "a named pipe",
        "sock": "a socket",
        "\ufffd": "its name is not UTF-8",
        "refused": "found a directory; allowed: something else",
        "refused-large": "it is invalid-request",
    }
    assert "7 things left out" in ran.err
    assert set(there.files) == {"model-definition.yaml", "weights/a.bin", "weights/b.bin", "empty", "to-file"}
    assert there.files["to-file"] == b"b" * 1000
    assert there.directories == {"nothing/in/it"}
    ran = cli("--json", "folder", "upload", "chat", model, "--allow-partial")
    assert ran.code == 0
    assert len(ran.json["left_out"]) == 7
    assert ran.json["directories"] == ["nothing/in/it"]
    assert "refused" not in ran.json["files"]


def test_a_directory_that_cannot_be_read_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "weights":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    plan = plan_upload([model], "")
    assert [row.reason for row in plan.left_out] == ["the directory cannot be read: Permission denied"]
    assert [file.path for file in plan.files] == ["empty", "model-definition.yaml"]


def test_small_files_go_many_in_one_request(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(1200):
        (many / f"{number:04d}").write_bytes(b"%d" % number)
    there.faults.extend(["503", "after"])
    ran = cli("folder", "upload", "chat", many)
    assert ran.code == 0, ran.err
    assert len(there.files) == 1200
    assert there.files["0077"] == b"77"
    requests = [path for method, path in there.seen if method == "POST"]
    assert requests == [f"/v1/folders/{uid(5)}/archive"] * 5, (
        "three parts; one was refused and the answer to one was lost"
    )


def test_two_files_may_not_become_one(model: Path) -> None:
    (model / "b.bin").write_bytes(b"")
    with pytest.raises(TreeError, match=r"both become b\.bin"):
        plan_upload([model / "b.bin", model / "weights/b.bin"], "")


def test_what_is_there_already_is_not_sent_again_unless_told_otherwise(
    cli: Cli, there: FakeManagerApi, model: Path
) -> None:
    assert cli("folder", "upload", "chat", model).code == 0
    for path in model.rglob("*"):
        os.utime(path, (MODIFIED, MODIFIED))  # when the fake says that all was changed
    os.utime(model / "empty", (1, 1))
    (model / "new").write_bytes(b"n")
    there.seen.clear()
    ran = cli("folder", "upload", "chat", model)
    assert (ran.code, "2 files" in ran.out, "3 already there" in ran.out) == (0, True, True)
    assert sum(method == "POST" for method, _ in there.seen) == 1
    assert [
        len(cli("--json", "folder", "upload", "chat", model, *more).json["skipped"]) for more in ((), ("--no-skip",))
    ] == [3, 0]


def test_everything_comes_down_as_it_lies_there(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    there.files = {"model-definition.yaml": b"models", "weights/a.bin": b"a" * 3_000_000}
    ran = cli("folder", "download", "chat", "--to", tmp_path / "here")
    assert ran.code == 0, ran.err
    found = {
        str(p.relative_to(tmp_path / "here")): p.read_bytes() for p in (tmp_path / "here").rglob("*") if p.is_file()
    }
    assert found == there.files


def test_one_file_comes_down_under_its_name(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    there.files = {"weights/a.bin": b"a", "weights/b.bin": b"b"}
    assert cli("folder", "download", "chat", "weights/a.bin", "--to", tmp_path / "here").code == 0
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["a.bin"]
    ran = cli("folder", "download", "chat", "weights/c.bin", "--to", tmp_path / "here")
    assert (ran.code, "weights/c.bin" in ran.err) == (1, True)


def test_small_files_come_many_in_one_request_with_their_time_of_change(
    cli: Cli, there: FakeManagerApi, tmp_path: Path
) -> None:
    there.files = {f"d{n % 7}/{n}": str(n).encode() for n in range(1200)}
    ran = cli("folder", "download", "chat", "--to", tmp_path / "here")
    assert ran.code == 0, ran.err
    assert "1200 files" in ran.out
    assert sorted(len(paths) for paths in there.bodies) == [200, 500, 500]
    assert sum("/files/" in path for _, path in there.seen) == 0
    found = {str(p.relative_to(tmp_path / "here")): p for p in (tmp_path / "here").rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == there.files
    assert {path.stat().st_mtime for path in found.values()} == {MODIFIED}


def test_what_is_here_already_is_skipped_and_counted_unless_told_otherwise(
    cli: Cli, there: FakeManagerApi, tmp_path: Path
) -> None:
    there.files = {"same": b"1", "other-size": b"22", "other-time": b"3", "large": b"x" * 2_000_000}
    to = tmp_path / "here"
    assert cli("folder", "download", "chat", "--to", to).code == 0
    (to / "other-size").write_bytes(b"2")
    os.utime(to / "other-size", (MODIFIED, MODIFIED))
    (to / "other-time").write_bytes(b"4")
    there.seen.clear()
    there.bodies.clear()
    ran = cli("folder", "download", "chat", "--to", to)
    assert (ran.code, "2 files" in ran.out, "2 already there" in ran.out) == (0, True, True)
    assert [sorted(paths) for paths in there.bodies] == [["other-size", "other-time"]]
    assert not any("/files/large" in path for _, path in there.seen)
    assert (to / "other-time").read_bytes() == b"3"
    ran = cli("--json", "folder", "download", "chat", "--to", to)
    assert (ran.json["files"], len(ran.json["skipped"])) == ([], 4)
    assert len(cli("--json", "folder", "download", "chat", "--to", to, "--no-skip").json["files"]) == 4


def test_a_download_that_breaks_leaves_no_half_of_anything_and_goes_on(
    cli: Cli, there: FakeManagerApi, tmp_path: Path
) -> None:
    there.files = {"a": b"1" * 2000, "b": b"2" * 2000}
    there.faults.extend(["after", "503", "foreign"])
    ran = cli("folder", "download", "chat", "--to", tmp_path / "here")
    assert ran.code == 0, ran.err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "here"]  # and nothing that was not asked for
    assert (tmp_path / "here/b").read_bytes() == b"2" * 2000


def test_a_file_that_is_gone_meanwhile_is_named_and_the_rest_comes(
    cli: Cli, there: FakeManagerApi, tmp_path: Path
) -> None:
    there.files = {"a": b"1"}
    rows = [{"path": p, "kind": "file", "size_bytes": 1, "modified_at": NOW} for p in ("a", "gone")]
    there.on("GET", f"/v1/folders/{uid(5)}/files", {"items": rows, "next": None})
    ran = cli("folder", "download", "chat", "--to", tmp_path / "here")
    assert (ran.code, "left out gone" in ran.err, "1 file did not come" in ran.err) == (1, True, True)
    assert (tmp_path / "here/a").read_bytes() == b"1"


def test_links_and_special_files_are_named_by_a_download_with_a_bound(
    cli: Cli, there: FakeManagerApi, tmp_path: Path
) -> None:
    there.files = {"a": b"1"}
    kinds = {"a": "file", **{f"link{n:02}": "link" for n in range(24)}, "pipe": "special"}
    rows = [
        {"path": path, "kind": kind, "size_bytes": kind == "file", "modified_at": NOW} for path, kind in kinds.items()
    ]
    there.on("GET", f"/v1/folders/{uid(5)}/files", {"items": rows, "next": None})
    there.on("GET", "/v1/folders/chat/files", {"items": rows, "next": None})
    ran = cli("folder", "download", "chat", "--to", tmp_path / "here")
    assert (ran.code, "1 file, 1 B" in ran.out) == (1, True)
    said = [line for line in ran.err.splitlines() if line.startswith(("left out", "…", "error", "hint"))]
    assert said == [
        *(f"left out link{n:02}: a link" for n in range(20)),
        "… and 5 more; --json names all",
        "error: 25 things left out; everything else is here",
        "hint: --allow-partial accepts that",
    ]
    ran = cli("--json", "folder", "download", "chat", "--to", tmp_path / "here", "--allow-partial")
    assert (ran.code, ran.json["skipped"]) == (0, [str(tmp_path / "here/a")])
    assert (len(ran.json["left_out"]), ran.json["left_out"][-1]) == (25, {"path": "pipe", "reason": "a special file"})
    there.seen.clear()
    listed = cli("folder", "files", "chat", "--all").out.splitlines()
    assert [line.split()[:2] for line in listed[-2:]] == [["link23", "link"], ["pipe", "special"]]
    assert [path for _, path in there.seen] == ["/v1/folders/chat/files?limit=200&all=true"]


def _file(path: str) -> FileView:
    return FileView.model_validate({"path": path, "kind": "file", "size_bytes": 1, "modified_at": NOW})


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd"])
def test_a_server_cannot_write_outside_of_the_directory(path: str, tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="leads out of"):
        local_paths([_file(path)], "", tmp_path)


def test_a_directory_comes_down_under_its_own_name(tmp_path: Path) -> None:
    (found,) = local_paths([_file("a/b/c")], "a/b", tmp_path).files
    assert found == TreeFile(tmp_path / "b/c", "a/b/c", 1, MODIFIED * 10**9)


def test_folders_are_made_listed_shown_and_removed(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/folders", FOLDER, status=201)
    there.on("GET", "/v1/folders", {"items": [FOLDER], "next": None})
    there.on("DELETE", "/v1/folders/chat", lambda: problem("in-use", 409))
    assert cli("folder", "create", "chat", "--project", "default", "--usage", "data").code == 0
    assert there.bodies == [{"name": "chat", "project": "default", "usage_mode": "data"}]
    assert uid(5) in cli("folder", "ls").out
    assert cli("--json", "folder", "ls").json[0]["name"] == "chat"
    assert cli("folder", "show", "chat", "--json").json["id"] == uid(5)
    assert cli("folder", "rm", "chat").code == 2, "nobody is there to ask"
    refused = cli("folder", "rm", "chat", "--yes")
    assert (refused.code, "it is in-use" in refused.err) == (1, True)


def test_what_lies_where_a_file_should_be_is_named_and_the_rest_comes(
    cli: Cli, there: FakeManagerApi, tmp_path: Path
) -> None:
    there.files = {"a": b"1", "b": b"2" * 2_000_000, "dir/c": b"3", "dir/sub/d": b"4", "e": b"5"}
    to = tmp_path / "here"
    (to / "a").mkdir(parents=True)
    (to / "b").mkdir()
    (to / "dir").write_bytes(b"mine")
    ran = cli("folder", "download", "chat", "--to", to)
    assert (ran.code, "4 files did not come" in ran.err, "1 file, 1 B" in ran.out) == (1, True, True)
    assert [line for line in ran.err.splitlines() if line.startswith("left out")] == [
        f"left out a: {to}/a is here, and is a directory",
        f"left out b: {to}/b is here, and is a directory",
        f"left out dir/c: {to}/dir is here, and is no directory",
        f"left out dir/sub/d: {to}/dir is here, and is no directory",
    ]
    assert sorted(p.name for p in to.rglob("*")) == ["a", "b", "dir", "e"]
    assert (to / "dir").read_bytes() == b"mine"


def test_a_download_goes_into_a_directory_only(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    there.files = {"a": b"1"}
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        ran = cli("folder", "download", "chat", "--to", tmp_path / name)
        assert (ran.code, f"--to {tmp_path / name}: found" in ran.err) == (1, True)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_directories_without_files_come_down_too(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    kinds = {"dir": "directory", "dir/empty": "directory", "dir/full": "directory", "dir/full/a": "file"}
    there.files = {"dir/full/a": b"1"}
    rows = [{"path": path, "kind": kind, "size_bytes": 1, "modified_at": NOW} for path, kind in kinds.items()]
    there.on("GET", f"/v1/folders/{uid(5)}/files", {"items": rows, "next": None})
    assert cli("folder", "download", "chat", "--to", tmp_path / "here").code == 0
    here = tmp_path / "here"
    assert sorted(str(p.relative_to(here)) for p in here.rglob("*")) == ["dir", "dir/empty", "dir/full", "dir/full/a"]


def test_an_empty_directory_is_named_by_what_was_asked_for() -> None:
    rows = [{"path": p, "kind": "directory", "size_bytes": 0, "modified_at": NOW} for p in ("a/b", "a/b/c", "a/b/c/d")]
    (found,) = local_paths([FileView.model_validate(row) for row in rows], "a/b", Path("here")).directories
    assert found.local == Path("here/b/c/d")


def test_uploads_that_are_not_complete_are_listed_and_cancelled(cli: Cli, there: FakeManagerApi) -> None:
    there.uploads = {uid(n): Upload(2**20 * n, f"weights/{n}", "", bytearray(2**10)) for n in (1, 2, 3)}
    listed = cli("folder", "uploads", "chat")
    assert listed.code == 0, listed.err
    assert [line.split()[:3] for line in listed.out.splitlines()[1:]] == [
        [uid(n), f"weights/{n}", str(n)] for n in (1, 2, 3)
    ]
    assert cli("--json", "folder", "uploads", "chat", "--cancel", uid(2), "--yes").json == {"cancelled": [uid(2)]}
    assert list(there.uploads) == [uid(1), uid(3)]
    assert cli("folder", "uploads", "chat", "--cancel", uid(2), "--yes").code == 1
    assert cli("folder", "uploads", "chat", "--cancel-all", "--yes").out == "cancelled 2 uploads into chat\n"
    assert there.uploads == {}
    assert "no uploads" in cli("folder", "uploads", "chat").err


def test_an_upload_that_is_not_there_costs_none_of_those_named_with_it(cli: Cli, there: FakeManagerApi) -> None:
    there.uploads = {uid(n): Upload(1, f"weights/{n}", "", bytearray()) for n in (1, 2, 3)}
    named = [word for number in (9, 1, 1, 2) for word in ("--cancel", uid(number))]
    done = cli("folder", "uploads", "chat", *named, "--yes")
    assert (done.code, done.out) == (1, "cancelled 2 uploads into chat\n")
    assert f"there is no upload {uid(9)} into chat" in done.err
    assert list(there.uploads) == [uid(3)]


def test_cancelling_all_counts_those_that_were_still_there(cli: Cli, there: FakeManagerApi) -> None:
    class Completing(dict[str, Upload]):
        """Of the uploads that were listed, the first one completes before it is cancelled."""

        def pop(self, key: str, default: Any = None) -> Any:
            return default if key == uid(1) else super().pop(key, default)

    there.uploads = Completing({uid(n): Upload(1, f"weights/{n}", "", bytearray()) for n in (1, 2)})
    done = cli("--json", "folder", "uploads", "chat", "--cancel-all", "--yes")
    assert (done.code, done.json) == (0, {"cancelled": [uid(2)]})


def test_a_folder_is_renamed_and_paths_in_it_are_made_and_moved(cli: Cli, there: FakeManagerApi) -> None:
    entry = {"path": "b/c", "kind": "directory", "size_bytes": 0, "modified_at": NOW}
    there.on("PATCH", "/v1/folders/chat", {**FOLDER, "name": "talk"})
    there.on("POST", "/v1/folders/chat/directories", entry)
    there.on("POST", "/v1/folders/chat/moves", entry)
    assert "talk" in cli("folder", "rename", "chat", "talk").out
    assert cli("folder", "mkdir", "chat", "b/c").out == "b/c is a directory of chat\n"
    assert cli("--json", "folder", "mv", "chat", "a", "b/c").json == {"path": "b/c"}
    assert there.bodies[-1] == {"path": "a", "to": "b/c"}


def test_a_deleted_folder_is_listed_restored_and_removed_for_good(cli: Cli, there: FakeManagerApi) -> None:
    deleted = {
        **FOLDER,
        "stored_bytes": 2048,
        "stored_files": 3,
        "deleted_at": NOW,
        "deleted_by": "ann",
        "purged_at": NOW,
    }
    there.on("DELETE", "/v1/folders/chat", None, status=204)
    there.on("GET", "/v1/trash", {"items": [deleted]})
    there.on("POST", "/v1/trash/chat/restore", {**FOLDER, "name": "old"})
    there.on("DELETE", "/v1/trash/chat", None, status=204)
    assert "folder trash" in cli("folder", "rm", "chat", "--yes").out
    assert cli("folder", "rm", "chat", "--yes", "--purge").code == 0
    assert there.seen[-1] == ("DELETE", "/v1/folders/chat?purge=true")
    assert cli("folder", "rm", "chat", "weights", "--yes", "--purge").code == 2
    listed = cli("folder", "trash").out
    assert all(text in listed for text in ("chat", "2 KiB", "ann")), listed
    assert cli("folder", "restore", "chat", "--name", "old").out == "restored the folder old\n"
    assert there.bodies[-1] == {"name": "old"}
    assert cli("folder", "purge", "chat").code == 2, "nobody is there to ask"
    assert cli("--json", "folder", "purge", "chat", "--yes").json == {"purged": "chat"}


def test_a_text_is_edited_and_kept_when_somebody_changed_it_meanwhile(
    cli: Cli, there: FakeManagerApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "/v1/folders/chat/files/README.md"
    entry = {"path": "README.md", "kind": "file", "size_bytes": 4, "modified_at": NOW, "etag": "t2"}
    there.files["README.md"] = b"one\n"
    there.on("GET", "/v1/folders/chat/files", {"items": [entry]})
    assert cli("folder", "cat", "chat", "README.md").out == "one\n"
    monkeypatch.setenv("EDITOR", "true")
    assert cli("folder", "edit", "chat", "README.md").out == "nothing has changed in README.md\n"
    monkeypatch.setenv("EDITOR", "sed -i s/one/two/")
    there.on("PUT", where, entry)
    assert "wrote 4 bytes" in cli("folder", "edit", "chat", "README.md").out
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    there.on("PUT", where, lambda: problem("precondition-failed", 412))
    refused = cli("folder", "edit", "chat", "README.md")
    assert refused.code == 1
    (kept,) = tmp_path.glob("headrace-*-README.md")
    assert kept.read_text() == "two\n"
    assert str(kept) in refused.err


@pytest.mark.parametrize(("editor", "why"), [("false", "false: Editing failed"), ("no-such-editor", "No such file")])
def test_an_editor_that_fails_is_said_in_a_line(
    cli: Cli, there: FakeManagerApi, monkeypatch: pytest.MonkeyPatch, editor: str, why: str
) -> None:
    entry = {"path": "README.md", "kind": "file", "size_bytes": 4, "modified_at": NOW, "etag": "t2"}
    there.files["README.md"] = b"one\n"
    there.on("GET", "/v1/folders/chat/files", {"items": [entry]})
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor)
    ran = cli("folder", "edit", "chat", "README.md")
    assert ran.code == 1
    said, hint = ran.err.splitlines()
    assert said.startswith("error: the editor did not end well; nothing was written: ")
    assert why in said
    assert hint == "hint: the environment's VISUAL or EDITOR says which it is"


@pytest.mark.parametrize(
    "words",
    [
        ("folder", "upload", "chat", ""),
        ("folder", "upload", "chat", "a", ""),
        ("folder", "download", "chat", "--to", ""),
        ("secret", "set", "key", "--file", ""),
        ("restore", ""),
    ],
)
def test_an_empty_path_is_not_the_directory_one_is_in(cli: Cli, there: FakeManagerApi, words: tuple[str, ...]) -> None:
    ran = cli(*words)
    assert (ran.code, there.seen) == (2, [])
    assert "found an empty text; allowed: a path" in ran.err
