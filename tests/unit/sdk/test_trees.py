"""Whole folders up and down with the SDK: bounded, in the order that their caller hears of, and stopped as one."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.sdk import Client, ResumeFile, TransferError, TreeError
from headrace.sdk.errors import ApiError
from headrace.sdk.trees import jobs, plan, results
from tests.support.fakes.manager_api import KEY, MODIFIED, NOW, FakeManagerApi, problem, uid

FOLDER = {"id": uid(5), "name": "chat", "project_id": uid(2), "usage_mode": "model", "created_at": NOW}
FILES = f"/v1/folders/{uid(5)}/files"
ARCHIVE = f"/v1/folders/{uid(5)}/archive"


@pytest.fixture(autouse=True)
def _folder(there: FakeManagerApi) -> None:
    there.on("GET", "/v1/folders/chat", FOLDER)


class Heard:
    """A TreeProgress that remembers what the server had been asked when it heard of the beginning."""

    def __init__(self, there: FakeManagerApi) -> None:
        self._there = there
        self.before: list[str] = []
        self.total = -1

    def begin(self, total_bytes: int) -> None:
        self.before, self.total = [method for method, _ in self._there.seen], total_bytes

    def moved(self, path: str, done_bytes: int, size_bytes: int) -> None:
        assert done_bytes <= size_bytes, path


def posts(there: FakeManagerApi) -> list[str]:
    return [path for method, path in there.seen if method == "POST"]


def directories(below: Path, count: int) -> Path:
    for number in range(count):
        (below / f"d{number:04}").mkdir(parents=True)
    return below


def test_directories_are_requests_of_the_transfer_as_files_are(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    heard = Heard(there)
    done = client.folders.upload_tree("chat", directories(tmp_path / "m", 1200), progress=heard)
    assert heard.before == ["GET"], "it is heard of before the first of them is made"
    assert heard.total == 0
    assert posts(there) == [ARCHIVE] * 3
    assert set(done.directories) == there.directories
    assert len(done.directories) == 1200


def test_nothing_is_sent_after_a_failure(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    (directories(tmp_path / "m", 1200) / "file").write_bytes(b"1")
    there.faults.append("403")
    with pytest.raises(ApiError):
        client.folders.upload_tree("chat", tmp_path / "m", parallel=1)
    assert posts(there) == [ARCHIVE]
    assert there.directories == set()


def test_an_interrupted_transfer_breaks_its_own_requests_only(
    there: FakeManagerApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"1")
    there.faults.extend(["503"] * 20)

    def interrupted(*_: Any, **__: Any) -> None:
        while not posts(there):
            time.sleep(0.005)
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "wait", interrupted)
    with Client(there.url, KEY) as client:
        with pytest.raises(KeyboardInterrupt):
            client.folders.upload_tree("chat", tmp_path / "file", skip_same=False)
        assert len(posts(there)) < 9, "it does not try on until its patience is over"
        assert client.folders.get("chat").name == "chat"


def test_what_progress_raises_ends_the_transfer(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    class Ends(Heard):
        def moved(self, path: str, done_bytes: int, size_bytes: int) -> None:
            raise RuntimeError(f"{path} {done_bytes} {size_bytes}")

    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(RuntimeError, match="file 1 1"):
        client.folders.upload_tree("chat", tmp_path / "file", progress=Ends(there))


def test_an_upload_goes_on_by_what_was_kept(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    file, kept = tmp_path / "m.bin", ResumeFile(tmp_path / "state/open.json")
    file.write_bytes(b"m" * 5_000_000)
    there.faults.extend(["half", *["503"] * 9])
    with pytest.raises(TransferError):
        client.folders.upload_tree("chat", file, resume=kept)
    there.faults.clear()
    assert (tmp_path / "state/open.json").stat().st_mode & 0o777 == 0o600
    there.seen.clear()
    assert [sent.path for sent in client.folders.upload_tree("chat", file, resume=kept).files] == ["m.bin"]
    assert posts(there) == [], "no other upload was begun"
    assert there.files == {"m.bin": file.read_bytes()}
    assert (tmp_path / "state/open.json").read_text() == "{}\n"
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["open.json"]


def test_paths_that_are_not_wanted_are_passed_over(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    for name in ("a", ".git/config", ".git/objects/1"):
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_bytes(b"1")
    (tmp_path / "m/.git/pipe").symlink_to("nowhere")
    done = client.folders.upload_tree("chat", tmp_path / "m", only=lambda path: not path.startswith(".git/"))
    assert ([file.path for file in done.files], done.left_out) == (["a"], ())
    assert set(there.files) == {"a"}


def test_links_and_special_files_there_are_named_and_made_no_file_here(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    there.files = {"a": b"1"}
    kinds = {"a": "file", "d": "directory", "d/link": "link", "pipe": "special"}
    rows = [{"path": p, "kind": k, "size_bytes": k == "file", "modified_at": NOW} for p, k in kinds.items()]
    there.on("GET", FILES, {"items": rows, "next": None})
    done = client.folders.download_tree("chat", tmp_path / "to")
    assert [(row.path, row.reason, row.lasting) for row in done.left_out] == [
        ("d/link", "a link", True),
        ("pipe", "a special file", True),
    ]
    assert done.directories == ("d",)
    assert sorted(path.name for path in (tmp_path / "to").rglob("*")) == ["a", "d"]
    assert any("all=true" in path for _, path in there.seen)


def test_a_manager_that_cannot_say_what_is_no_file_is_asked_for_files(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    there.files = {"a": b"1"}
    unknown = [{"field": "all", "found": "true", "allowed": "nothing: there is no such field"}]
    rows = [{"path": "a", "kind": "file", "size_bytes": 1, "modified_at": NOW}]
    there.on("GET", FILES, lambda: problem("invalid-request", 400, errors=unknown), {"items": rows, "next": None})
    done = client.folders.download_tree("chat", tmp_path / "to")
    assert [file.path for file in done.files] == ["a"]
    assert [path.partition("?")[2] for _, path in there.seen if path.startswith(FILES)] == [
        "limit=200&recursive=true&all=true",
        "limit=200&recursive=true",
    ]


def test_a_large_file_that_went_meanwhile_costs_itself(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    there.files = {"a": b"1"}
    rows = [
        {"path": path, "kind": "file", "size_bytes": size, "modified_at": NOW}
        for path, size in {"a": 1, "gone": 2_000_000}.items()
    ]
    there.on("GET", FILES, {"items": rows, "next": None})
    done = client.folders.download_tree("chat", tmp_path / "to")
    assert [(row.path, row.reason, row.lasting) for row in done.left_out] == [("gone", "it is not-found", False)]
    assert [file.path for file in done.files] == ["a"]
    assert (tmp_path / "to/a").stat().st_mtime == MODIFIED
    assert list((tmp_path / "to").iterdir()) == [tmp_path / "to/a"]


def files_of(there: FakeManagerApi, sizes: dict[str, int]) -> None:
    """The folder has these files, with content of these sizes."""
    there.files = {path: b"x" * size for path, size in sizes.items()}
    rows = [{"path": path, "kind": "file", "size_bytes": size, "modified_at": NOW} for path, size in sizes.items()]
    there.on("GET", FILES, {"items": rows, "next": None})


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_names_of_255_bytes_come_in_whatever_script_they_are(
    there: FakeManagerApi, client: Client, tmp_path: Path, size: int
) -> None:
    names = {"a" * 255: size, "\u6c34" * 85: size, "x" + "\u00e9" * 127: size}
    files_of(there, names)
    done = client.folders.download_tree("chat", tmp_path / "to")
    assert {file.path for file in done.files} == set(names), done.left_out
    assert {path.name: path.stat().st_size for path in (tmp_path / "to").iterdir()} == names


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_a_file_that_cannot_be_written_here_costs_itself(
    there: FakeManagerApi, client: Client, tmp_path: Path, size: int
) -> None:
    too_long, deep = "n" * 300, "/".join(["d" * 200] * 25)  # more than a name, and than a path, may have here
    files_of(there, {"a": size, too_long: size, f"{'m' * 300}/b": size, f"{deep}/c": size, "z": size})
    done = client.folders.download_tree("chat", tmp_path / "to")
    assert [file.path for file in done.files] == ["a", "z"]
    assert {row.path for row in done.left_out} == {too_long, f"{'m' * 300}/b", f"{deep}/c"}
    assert all("it cannot be written here: File name too long" in row.reason for row in done.left_out)
    assert not [path for path in (tmp_path / "to").iterdir() if path.suffix == ".part"]


def test_a_directory_that_cannot_be_made_here_costs_itself(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    rows = [{"path": path, "kind": "directory", "size_bytes": 0, "modified_at": NOW} for path in ("a", "n" * 300, "z")]
    there.on("GET", FILES, {"items": rows, "next": None})
    done = client.folders.download_tree("chat", tmp_path / "to")
    assert done.directories == ("a", "z")
    assert [(row.path, row.reason) for row in done.left_out] == [
        ("n" * 300, "it cannot be written here: File name too long")
    ]


@pytest.mark.parametrize("size", [1, 2_000_000])
def test_a_full_disk_here_ends_a_download(
    there: FakeManagerApi, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    files_of(there, {"a": size})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        client.folders.download_tree("chat", tmp_path / "to")


def test_more_than_one_transfer_plans_is_refused_before_anything_moves(
    there: FakeManagerApi, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "MAX_ENTRIES", 3)
    for name in "abcd":
        (tmp_path / "m").mkdir(exist_ok=True)
        (tmp_path / "m" / name).write_bytes(b"1")
        there.files[name] = b"1"
    with pytest.raises(TreeError, match=r"m: found more than 3 files.*allowed: at most"):
        client.folders.upload_tree("chat", tmp_path / "m")
    with pytest.raises(TreeError, match=r"the folder: found more than 3 files.*allowed: at most"):
        client.folders.download_tree("chat", tmp_path / "to")
    assert posts(there) == []
    assert not (tmp_path / "to").exists()


def test_what_lies_deeper_than_a_path_may_lead_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_LEVELS", 3)
    (tmp_path / "m/1/2/3/4").mkdir(parents=True)
    (tmp_path / "m/1/2/file").write_bytes(b"1")
    planned = plan.plan_upload([tmp_path / "m"], "")
    assert [file.path for file in planned.files] == ["1/2/file"]
    assert [(row.path, row.reason) for row in planned.left_out] == [
        (f"{tmp_path}/m/1/2/3", "it lies deeper than 3 levels")
    ]


def test_a_download_goes_into_a_directory_only(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(TreeError, match="file: found something that is no directory; allowed: a directory, or a new"):
        client.folders.download_tree("chat", tmp_path / "file")


def test_a_store_of_uploads_keeps_the_newest(tmp_path: Path) -> None:
    kept = ResumeFile(tmp_path / "open.json")
    for number in range(502):
        kept.remember(str(number), "u")
    assert [kept.find(key) for key in ("0", "1", "2", "501")] == [None, None, "u", "u"]
    (tmp_path / "open.json").write_text("no json")
    assert kept.find("2") is None
