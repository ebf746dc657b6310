from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

import pytest
from aiohttp import web

from headrace.sdk import AnswerLostError, ApiError, Client, TransferError, UnexpectedAnswerError, downloads, uploads
from headrace.sdk.archives import DownloadItem, UploadItem, batches
from tests.support.fakes.manager_api import FakeManagerApi

MIB = 1024 * 1024
CHUNK_BYTES = 4 * MIB
LARGE = bytes(range(256)) * (CHUNK_BYTES * 5 // 2 // 256)


@pytest.fixture(autouse=True)
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "CHUNK_BYTES", CHUNK_BYTES)


def patches(there: FakeManagerApi) -> int:
    return sum(method == "PATCH" for method, _ in there.seen)


def test_a_file_goes_up_in_chunks_with_progress(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(LARGE)
    seen: list[tuple[int, int]] = []
    created: list[str] = []
    client.folders.upload(
        "f", source, "weights/model.bin", project="p", progress=lambda *n: seen.append(n), on_created=created.append
    )
    assert there.files == {"weights/model.bin": LARGE}
    assert seen == [(sent * MIB, len(LARGE)) for sent in range(11)]
    assert created == ["u0"]
    # The Location named another host: the key went only to ours, and every request said which folder is meant.
    assert [path for _, path in there.seen] == [
        "/v1/folders/f/uploads?project=p",
        *["/v1/folders/f/uploads/u0?project=p"] * 3,
    ]


@pytest.mark.parametrize("content", [b"", b"x", b"x" * CHUNK_BYTES])
def test_any_size(there: FakeManagerApi, client: Client, content: bytes) -> None:
    client.folders.upload("f", content, "ü/a b.bin")
    assert there.files == {"ü/a b.bin": content}
    assert patches(there) == (1 if content else 0)


@pytest.mark.parametrize("fault", ["half", "after", "503", "423", "502"])
def test_an_upload_continues_where_it_broke(there: FakeManagerApi, client: Client, fault: str) -> None:
    there.faults.extend(["", fault, fault])
    client.folders.upload("f", LARGE, "model.bin")
    assert there.files == {"model.bin": LARGE}
    assert "HEAD" in [method for method, _ in there.seen]


def test_an_upload_whose_last_answer_was_lost_is_recognised(there: FakeManagerApi, client: Client) -> None:
    there.faults.append("after")
    client.folders.upload("f", b"12345", "a/model.bin")
    assert patches(there) == 1
    assert there.seen[-1][1] == "/v1/folders/f/files?limit=200&path=a"


def test_an_upload_of_which_all_came_is_finished_before_it_counts_as_done(
    there: FakeManagerApi, client: Client
) -> None:
    # The server was cut off while it checked the content: all bytes are there, and the file is not in its place.
    there.faults.append("unfinished")
    client.folders.upload("f", b"12345", "model.bin")
    assert there.files == {"model.bin": b"12345"}
    there.faults.extend(["unfinished", *["503"] * 9])
    with pytest.raises(TransferError):
        client.folders.upload("f", b"67890", "model.bin")
    client.folders.upload("f", b"67890", "model.bin", resume="u1")
    assert there.files == {"model.bin": b"67890"}


def test_an_upload_that_is_gone_is_not_taken_for_done(there: FakeManagerApi, client: Client) -> None:
    there.faults.append("after")
    there.on("GET", "/v1/folders/f/files", {"items": [], "next": None})
    with pytest.raises(ApiError) as refused:
        client.folders.upload("f", b"12345", "model.bin")
    assert refused.value.status == 404


def test_an_upload_gives_up_in_the_end_and_can_be_continued(there: FakeManagerApi, client: Client) -> None:
    there.faults.extend(["", *["503"] * 9])
    with pytest.raises(TransferError) as stopped:
        client.folders.upload("f", LARGE, "model.bin")
    assert stopped.value.upload_id == "u0"
    seen: list[int] = []
    client.folders.upload("f", LARGE, "model.bin", resume="u0", progress=lambda done, _: seen.append(done))
    assert there.files == {"model.bin": LARGE}
    assert seen[0] == CHUNK_BYTES


def test_an_upload_that_cannot_be_continued_starts_anew(there: FakeManagerApi, client: Client) -> None:
    client.folders.upload("f", b"12345", "model.bin", resume="gone")
    assert there.files == {"model.bin": b"12345"}


def test_a_refused_upload_is_not_repeated(there: FakeManagerApi, client: Client) -> None:
    there.faults.extend(["403"])
    with pytest.raises(ApiError):
        client.folders.upload("f", b"12345", "model.bin")
    assert patches(there) == 1


def test_small_files_go_in_parts_and_those_that_cannot_be_read_are_named(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    there.refused = {"b": "a directory"}
    files = [UploadItem(name.encode(), name, 1) for name in "abc"] + [UploadItem(tmp_path / "gone", "d", 1)]
    told: list[int] = []
    refused = list(
        client.folders.upload_small(
            "f",
            files,
            directories=["e/f", *(f"g/{n}" for n in range(500))],
            project="p",
            progress=lambda part: told.append(len(part)),
        )
    )
    assert [(row.path, row.found) for row in refused] == [
        ("b", "a directory"),
        ("d", "it cannot be read: No such file or directory"),
    ]
    assert there.files == {"a": b"a", "c": b"c"}
    assert there.directories == {"e/f", *(f"g/{n}" for n in range(500))}
    assert told == [4]
    assert [path for _, path in there.seen] == ["/v1/folders/f/archive?project=p"] * 3


def test_parts_have_a_bound_on_files_and_on_bytes() -> None:
    assert [len(part) for part in batches(UploadItem(b"", str(n), 1) for n in range(1001))] == [500, 500, 1]
    assert [len(part) for part in batches(UploadItem(b"", str(n), 3 * 1024 * 1024) for n in range(5))] == [2, 2, 1]
    assert [
        len(part) for part in batches([UploadItem(b"", "a", 1), UploadItem(b"", "b", 2**30), UploadItem(b"", "c", 1)])
    ] == [
        1,
        1,
        1,
    ]


def test_a_refused_archive_is_not_repeated_and_a_server_that_stays_away_ends_it(
    there: FakeManagerApi, client: Client
) -> None:
    there.faults.append("403")
    with pytest.raises(ApiError):
        list(client.folders.upload_small("f", [UploadItem(b"1", "a", 1)]))
    assert len(there.seen) == 1
    there.faults.extend(["503"] * 9)
    with pytest.raises(TransferError):
        list(client.folders.upload_small("f", [UploadItem(b"1", "a", 1)]))


def test_a_file_that_is_not_there(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.folders.upload("f", tmp_path / "no", "model.bin")


def test_a_download_is_whole_and_replaces_an_older_file(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    there.files["a/ü b.bin"] = LARGE
    to = tmp_path / "b.bin"
    to.write_bytes(b"old")
    seen: list[tuple[int, int]] = []
    client.folders.download("f", "a/ü b.bin", to, progress=lambda *n: seen.append(n))
    assert to.read_bytes() == LARGE
    assert seen[0] == (0, len(LARGE))
    assert seen[-1] == (len(LARGE), len(LARGE))
    assert list(tmp_path.iterdir()) == [to]
    assert stat.S_IMODE(to.stat().st_mode) & 0o600 == 0o600


def test_an_empty_file(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    there.files["e"] = b""
    client.folders.download("f", "e", tmp_path / "e")
    assert (tmp_path / "e").read_bytes() == b""


def test_a_download_continues_where_it_broke(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    there.files["m"] = LARGE
    there.faults.extend(["cut", "cut"])
    client.folders.download("f", "m", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == LARGE
    ranges = [headers.get("Range") for headers in there.headers]
    assert ranges[0] is None
    assert len(ranges) == 3
    assert all(ranges[1:])


def test_a_file_that_changed_meanwhile_is_read_from_its_start(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    there.files["m"] = LARGE
    there.faults.append("changed")
    client.folders.download("f", "m", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == LARGE[::-1]


def test_a_download_that_fails_leaves_nothing(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError):
        client.folders.download("f", "missing", tmp_path / "m")
    there.files["m"] = b"x" * 10
    there.tag = ""  # nothing to continue by
    there.faults.extend(["cut"] * 9)
    with pytest.raises(TransferError):
        client.folders.download("f", "m", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_the_disk_begins_to_write_a_download_while_the_rest_comes(
    there: FakeManagerApi, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.files["m"] = LARGE
    there.faults.append("cut")
    seen: list[tuple[str, int, int]] = []

    def begin(fd: int, start: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        assert os.fstat(fd).st_size == start + size, "what is still in a buffer of this process cannot be written"
        seen.append(("begin", start, size))

    def sync(fd: int) -> None:
        seen.append(("sync", 0, os.fstat(fd).st_size))

    monkeypatch.setattr(os, "posix_fadvise", begin)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(downloads, "WRITEBACK_BYTES", MIB)
    client.folders.download("f", "m", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == LARGE
    *begun, synced = seen
    assert synced == ("sync", 0, len(LARGE)), "everything is on the disk before the file has its name"
    assert len(begun) >= len(LARGE) // (2 * MIB)
    assert all(size >= MIB for _, _, size in begun)
    ends = [start + size for _, start, size in begun]
    assert all(end <= start for end, (_, start, _) in zip(ends, begun[1:], strict=False)), "each byte once"


def test_a_download_needs_no_advice_of_the_file_system(
    there: FakeManagerApi, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    there.files["m"] = LARGE
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    monkeypatch.setattr(downloads, "WRITEBACK_BYTES", MIB)
    client.folders.download("f", "m", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == LARGE


def test_a_file_that_something_on_the_way_compressed_is_not_taken_for_the_file(
    there: FakeManagerApi, client: Client, tmp_path: Path
) -> None:
    there.files["m"] = b"12345"
    there.faults.append("gzip")
    with pytest.raises(UnexpectedAnswerError, match="gzip"):
        client.folders.download("f", "m", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_read_a_small_file(there: FakeManagerApi, client: Client) -> None:
    there.files["model-definition.yaml"] = b"models: []\n"
    assert client.folders.read("f", "model-definition.yaml") == b"models: []\n"


def test_log_lines(there: FakeManagerApi, client: Client) -> None:
    there.log_lines = [b"2026 one\n2026 t", b"wo\r\n2026 \xc3", b"\xa4 \x0b\xe2\x80\xa8 still\n\n2026 \xff\nlast"]
    lines = list(client.services.logs("echo", replica="r", tail=5))
    assert lines == ["2026 one", "2026 two", "2026 ä \x0b\u2028 still", "", "2026 \ufffd", "last"]
    assert there.seen[-1][1] == "/v1/services/echo/logs?replica=r&tail=5&follow=false"
    list(client.services.logs("echo", everything=True))
    assert there.seen[-1][1] == "/v1/services/echo/logs?download=all&follow=false"


def test_followed_logs_end_when_the_reader_leaves(there: FakeManagerApi, client: Client) -> None:
    there.log_lines = [b"first\n"]
    with client.services.logs("echo", follow=True) as lines:
        assert next(lines) == "first"
        assert next(lines) == "more"
    assert there.log_closed.wait(5)


def test_logs_of_nothing(there: FakeManagerApi, client: Client) -> None:
    there.on("GET", "/v1/validations/x", {})
    client_lines = client.validations.logs("x")
    assert list(client_lines) == []


def test_a_log_that_breaks_is_not_taken_for_its_end(there: FakeManagerApi, client: Client) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\ntw")
        assert request.transport is not None
        request.transport.abort()
        return response

    there.logs = cut  # type: ignore[method-assign]
    lines = client.services.logs("echo")
    with pytest.raises(AnswerLostError):
        list(lines)


def part(directory: Path, name: str, *, age_s: float) -> Path:
    file = directory / name
    file.write_bytes(b"half of it")
    os.utime(file, (time.time() - age_s,) * 2)
    return file


@pytest.mark.parametrize("how", ["alone", "with others"])
def test_what_a_killed_download_left_is_removed_by_the_next_one_of_the_same_file(
    there: FakeManagerApi, client: Client, tmp_path: Path, how: str
) -> None:
    there.files["m"] = b"whole"
    part(tmp_path, ".m.abcd_123.part", age_s=3600)
    others = [
        part(tmp_path, ".other.abcd_123.part", age_s=3600),  # of another file
        part(tmp_path, ".m.abcd_124.part", age_s=1),  # somebody may be about to take it
        part(tmp_path, ".m.notes.part", age_s=3600),  # no name that downloads make
        part(tmp_path, "m.abcd_123.part", age_s=3600),
    ]
    link = tmp_path / ".m.abcd_125.part"
    link.symlink_to(others[0])
    written = part(tmp_path, ".m.abcd_126.part", age_s=3600)
    with written.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as a download that is stopped, and goes on later
        if how == "with others":
            assert list(client.folders.download_small("f", [DownloadItem("m", tmp_path / "m", 5)])) == []
        else:
            client.folders.download("f", "m", tmp_path / "m")
    assert set(tmp_path.iterdir()) == {*others, link, written, tmp_path / "m"}


def test_a_download_holds_its_part_against_others(there: FakeManagerApi, client: Client, tmp_path: Path) -> None:
    there.files["m"] = LARGE
    free: list[bool] = []

    def look(_done: int, _total: int) -> None:
        (now,) = tmp_path.glob(".m.*.part")
        with now.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free.append(False)
            else:
                free.append(True)

    client.folders.download("f", "m", tmp_path / "m", progress=look)
    assert set(free) == {False}
