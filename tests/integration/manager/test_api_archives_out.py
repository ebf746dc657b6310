"""Archives that come down: whole or without an end, nothing from outside of the folder, and a file that changes is said."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.manager.folders import packing
from headrace.manager.folders.packing import CHANGED, Packer
from headrace.manager.folders.tree import Tree
from tests.integration.manager.test_api_archives import entry, send, tar
from tests.integration.manager.test_api_folders import begin, patch
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi


def unpacked(content: bytes) -> dict[str, bytes | None]:
    """Return the archive's files by path; None for directories."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        return {m.name: None if m.isdir() else archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]


def left_out(content: bytes) -> Any:
    """Return what the archive says is not in it."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        archive.getmembers()
        told = json.loads(archive.pax_headers[packing.LEFT_OUT])
    told["entries"].sort(key=lambda row: row["path"])
    return told


async def fetched(api: ManagerApi, folder: str, path: str = "", *, expect: int = 200) -> Any:
    answer = await api.admin.http.get(f"/v1/folders/{folder}/archive", params={"path": path})
    assert answer.status_code == expect, answer.text
    return answer.content if expect == 200 else answer.json()


async def selected(api: ManagerApi, folder: str, *paths: str, expect: int = 200) -> Any:
    answer = await api.admin.http.post(f"/v1/folders/{folder}/archive/selection", json={"paths": paths})
    assert answer.status_code == expect, answer.text
    return answer.content if expect == 200 else answer.json()


async def test_a_folder_or_a_directory_of_it_comes_down_as_it_is(api: ManagerApi) -> None:
    files = {
        "a": b"1",
        "d/e/ü b": bytes(range(256)) * 9000,
        "d/" + "long-name/" * 25 + "x": b"deep",
        "empty": b"",
        "d.txt": b"t",
    }
    folder = await api.admin.folder("m", dict(files))
    (api.folders / folder / "nothing/in").mkdir(parents=True)
    found = unpacked(await fetched(api, folder))
    assert {name: content for name, content in found.items() if content is not None} == files
    assert found["nothing/in"] is None
    below = unpacked(await fetched(api, folder, "d/e"))
    assert below == {"ü b": files["d/e/ü b"]}
    assert unpacked(await fetched(api, folder, "a")) == {"a": b"1"}
    assert "nothing at absent" in (await fetched(api, folder, "absent", expect=404))["detail"]
    await fetched(api, folder, "../x", expect=400)


async def test_links_and_special_files_do_not_come_down(api: ManagerApi, tmp_path: Path) -> None:
    folder = await api.admin.folder("m", {"a": b"1"})
    root = api.folders / folder
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "secret").symlink_to(tmp_path / "outside/secret")
    os.mkfifo(root / "pipe")
    (root / "d").mkdir()
    Path(os.fsdecode(os.fsencode(root / "d") + b"/bad\xff")).write_bytes(b"2")
    whole = await fetched(api, folder)
    assert unpacked(whole) == {"a": b"1", "d": None, ".": None}
    assert left_out(whole) == {
        "count": 4,
        "entries": [
            {"path": "d/bad\ufffd", "found": "a name that is not UTF-8"},
            {"path": "out", "found": "a link"},
            {"path": "pipe", "found": "a special file"},
            {"path": "secret", "found": "a link"},
        ],
    }
    for number in range(200):
        (root / f"link-{number}").symlink_to("a")
    told = left_out(await fetched(api, folder))
    assert (told["count"], len(told["entries"])) == (204, packing.MAX_LISTED_LEFT_OUT)
    assert unpacked(await selected(api, folder, "out/secret", "secret", "pipe", "a", "absent")) == {"a": b"1"}


async def test_chosen_files_come_in_one_archive_and_bad_paths_are_refused(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {f"d/{n}": str(n).encode() for n in range(20)})
    assert unpacked(await selected(api, folder, "d/3", "d/7")) == {"d/3": b"3", "d/7": b"7"}
    await selected(api, folder, "../x", expect=400)
    await selected(api, folder, expect=400)
    await selected(api, folder, *["a"] * 1001, expect=400)


async def test_viewers_may_and_strangers_may_not(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"a": b"1"})
    for name, roles, status in (("vera", {"default": "viewer"}, 200), ("sam", {}, 404)):
        caller = await api.user(name, **roles)
        assert (await caller.http.get(f"/v1/folders/{folder}/archive")).status_code == status
        answer = await caller.http.post(f"/v1/folders/{folder}/archive/selection", json={"paths": ["a"]})
        assert answer.status_code == status
        await caller.close()


async def test_an_archive_that_breaks_off_has_no_orderly_end(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"a": b"1"})
    large = api.folders / folder / "large"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    async with api.admin.http.stream("GET", f"/v1/folders/{folder}/archive") as answer:
        os.truncate(large, 0)
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


async def test_a_reader_that_goes_away_lets_the_next_ones_in(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    with (api.folders / folder / "large").open("wb") as file:
        file.truncate(64 * 2**20)
    for _ in range(6):  # more than are sent at once
        async with api.admin.http.stream("GET", f"/v1/folders/{folder}/archive") as answer:
            assert answer.status_code == 200

    async def free() -> bool:
        async with asyncio.timeout(60), api.admin.http.stream("GET", f"/v1/folders/{folder}/archive") as answer:
            return answer.status_code == 200

    await eventually(free)


def test_a_file_that_changes_while_it_is_read_is_named_and_memory_is_bounded(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "f")
    tree.create()
    (tree.path / "busy").write_bytes(bytes(100_000))
    (tree.path / "still").write_bytes(bytes(100_000))
    packer = Packer(tree, piece_bytes=4096)
    made = [packer.piece()]
    os.utime(tree.path / "busy", ns=(1, 1))
    while piece := packer.piece():
        assert len(piece) < 3 * 4096
        made.append(piece)
    packer.close()
    with tarfile.open(fileobj=io.BytesIO(b"".join(made)), mode="r:") as archive:
        assert [(m.name, m.size) for m in archive.getmembers()] == [("busy", 100_000), ("still", 100_000)]
        assert archive.pax_headers == {CHANGED: "busy"}


async def test_files_keep_their_time_of_change_up_and_down(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    times = {"small": "1700000000.123456", "old": "5.5"}
    rows = [entry(name, b"1", pax_headers={"mtime": time}) for name, time in times.items()]
    await send(api, folder, tar(*rows, entry("none", b"1", pax_headers={"mtime": "-1"})))
    where = await begin(api, folder, "large", 3, mtime="1700000000.654321")
    await patch(api, where, 0, b"abc")
    root = api.folders / folder
    found = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
    assert found["small"] == 1_700_000_000_123_456_000
    assert found["old"] == 5_500_000_000
    assert found["large"] == 1_700_000_000_654_321_000
    assert found["none"] > 1_700_000_001_000_000_000
    with tarfile.open(fileobj=io.BytesIO(await fetched(api, folder)), mode="r:") as archive:
        assert archive.getmember("large").mtime == pytest.approx(1_700_000_000.654321, abs=1e-6)
    before = (await api.admin.http.get(f"/v1/folders/{folder}/files/small")).headers["ETag"]
    await send(api, folder, tar(entry("small", b"2", pax_headers={"mtime": times["small"]})))
    assert (await api.admin.http.get(f"/v1/folders/{folder}/files/small")).headers["ETag"] != before


def test_an_archive_reads_a_directory_once_however_many_files_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(tmp_path, "f")
    tree.create()
    for directory, count in (("", 3000), ("d", 700), ("d/e", 700)):
        (tree.path / directory).mkdir(exist_ok=True)
        for number in range(count):
            (tree.path / directory / f"{number:04}").touch()
    seen, scandir = 0, os.scandir

    @contextmanager
    def counted(fd: int) -> Iterator[Iterator[os.DirEntry[str]]]:
        def all_of(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
            nonlocal seen
            for one in entries:
                seen += 1
                yield one

        with scandir(fd) as entries:
            yield all_of(entries)

    monkeypatch.setattr(os, "scandir", counted)
    content = b"".join(iter(Packer(tree).piece, b""))
    assert len(unpacked(content)) == 4402
    assert seen <= 3001 + 4402, "once to look whether it is a file, once to read"
    monkeypatch.setattr(packing, "MAX_REMEMBERED_NAMES", 1000)
    assert unpacked(b"".join(iter(Packer(tree).piece, b""))) == unpacked(content), "in several steps"


def test_an_archive_whose_last_file_changed_while_it_was_read_can_be_read(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "f")
    tree.create()
    (tree.path / "busy").write_bytes(bytes(100_000))
    packer = Packer(tree, paths=[("busy",)], piece_bytes=4096)
    made = [packer.piece()]
    os.utime(tree.path / "busy", ns=(1, 1))
    while piece := packer.piece():
        made.append(piece)
    packer.close()
    with tarfile.open(fileobj=io.BytesIO(b"".join(made)), mode="r:") as archive:
        assert [(m.name, m.isfile()) for m in archive.getmembers()] == [("busy", True), (".", False)]
        assert archive.pax_headers == {CHANGED: "busy"}
