"""Archives: many files in one request, each whole and in its place; a bad entry costs itself; and no way out of the folder."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

TAR = {"Content-Type": "application/x-tar"}


def entry(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.size = len(content)
    for field, value in changes.items():
        setattr(found, field, value)
    return found, content


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


async def send(api: ManagerApi, folder: str, content: Any, *, path: str = "", expect: int = 200) -> Any:
    answer = await api.admin.http.post(
        f"/v1/folders/{folder}/archive", params={"path": path}, content=content, headers=TAR
    )
    assert answer.status_code == expect, answer.text
    return answer.json()


def content_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
async def test_an_archive_becomes_files_and_empty_directories(api: ManagerApi, form: int) -> None:
    folder = await api.admin.folder("m", {"old": b"old", "kept": b"kept"})
    long = "/".join(["long-name-of-a-directory"] * 20) + "/ü b.txt"
    large = bytes(range(256)) * 12_000
    wanted = {"old": b"new", "a/b/c": b"x" * 511, "empty": b"", long: b"deep", "large": large}
    receipt = await send(
        api,
        folder,
        tar(
            entry("./", type=tarfile.DIRTYPE),
            entry("nothing/in/it/", type=tarfile.DIRTYPE),
            *(entry(path, content) for path, content in wanted.items()),
            form=form,
        ),
    )
    assert receipt == {
        "files": 5,
        "directories": 2,
        "bytes": sum(map(len, wanted.values())),
        "refused_count": 0,
        "refused": [],
    }
    root = api.folders / folder
    assert content_of(root) == {**wanted, "kept": b"kept"}
    assert (root / "nothing/in/it").is_dir()
    assert (root / "a/b/c").stat().st_mode & 0o777 == 0o644
    assert list((api.folders / ".uploads").iterdir()) == []
    await send(api, folder, tar(entry("x", b"1"), form=form), path="below/here")
    assert (root / "below/here/x").read_bytes() == b"1"


async def test_a_refused_entry_costs_itself_and_is_named(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"a-file": b"1"})
    (api.folders / folder / "a-directory").mkdir()
    bad = {
        "../out": entry("../out", b"1"),
        "/etc/x": entry("/etc/x", b"1"),
        "a//b": entry("a//b", b"1"),
        "a\\b": entry("a\\b", b"1"),
        "link": entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "hard": entry("hard", type=tarfile.LNKTYPE, linkname="a-file"),
        "pipe": entry("pipe", type=tarfile.FIFOTYPE),
        "device": entry("device", type=tarfile.CHRTYPE),
        "a-file/below": entry("a-file/below", b"1"),
        "a-directory": entry("a-directory", b"1"),
        "huge": entry("huge", bytes(10 * 1024 * 1024 + 1)),
        "wrong": entry("wrong", b"1", pax_headers={"HEADRACE.sha256": "0" * 64}),
        "n" * 256: entry("n" * 256, b"1"),
        "a-file/": entry("a-file", type=tarfile.DIRTYPE),
    }
    right = entry("right", b"22", pax_headers={"HEADRACE.sha256": hashlib.sha256(b"22").hexdigest()})
    receipt = await send(api, folder, tar(*bad.values(), entry("between", b"b"), right))
    assert (receipt["files"], receipt["directories"], receipt["refused_count"]) == (2, 0, len(bad))
    refused = {row["path"]: row["found"] for row in receipt["refused"]}
    assert set(refused) == {name.removesuffix("/") for name in bad} | {"a-file"}
    assert refused["link"] == "a symbolic link"
    assert refused["huge"] == "10485761 bytes"
    assert content_of(api.folders / folder) == {"a-file": b"1", "between": b"b", "right": b"22"}
    assert {path.name for path in api.folders.iterdir()} == {folder, ".uploads", ".snapshots"}
    assert list((api.folders / ".uploads").iterdir()) == []


async def test_links_in_the_folder_do_not_lead_out(api: ManagerApi, tmp_path: Path) -> None:
    folder = await api.admin.folder("m", {})
    outside = tmp_path / "outside"
    outside.mkdir()
    (api.folders / folder / "out").symlink_to(outside)
    receipt = await send(api, folder, tar(entry("out/x", b"1"), entry("out/d", type=tarfile.DIRTYPE), entry("y", b"2")))
    assert (receipt["files"], receipt["refused_count"]) == (1, 2)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"x" * 2048, tar(entry("b", b"2" * 2000))[:1024], tar(entry("b", b"2"))[:700], b"\x1f\x8b" + bytes(600)],
    ids=["text", "in the middle of a file", "in its padding", "gzip"],
)
async def test_what_is_no_archive_is_refused_and_earlier_files_stay(api: ManagerApi, content: bytes) -> None:
    folder = await api.admin.folder("m", {})
    first = tar(entry("a", b"1"))[:1024]
    problem = await send(api, folder, first + content, expect=400)
    assert problem["errors"][0]["allowed"] == "a POSIX tar archive, not compressed"
    assert content_of(api.folders / folder) == {"a": b"1"}
    assert list((api.folders / ".uploads").iterdir()) == []


async def test_a_sender_that_goes_away_leaves_whole_files_only(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    archive = tar(entry("a", b"1" * 2_000_000), entry("b", b"2" * 4_000_000))

    async def broken() -> AsyncIterator[bytes]:
        yield archive[:4_000_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await send(api, folder, broken())

    async def forgotten() -> bool:
        return not list(api.folders.glob(".uploads/*")) and set(content_of(api.folders / folder)) == {"a"}

    await eventually(forgotten)


async def test_viewers_and_other_media_types_are_refused(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    viewer = await api.user("vera", default="viewer")
    answer = await viewer.http.post(f"/v1/folders/{folder}/archive", content=tar(), headers=TAR)
    assert answer.status_code == 403
    await viewer.close()
    answer = await api.admin.http.post(f"/v1/folders/{folder}/archive", content=tar())
    assert answer.status_code == 415
    assert (await send(api, folder, tar()))["files"] == 0
    assert (await send(api, folder, b""))["files"] == 0
    await send(api, folder, tar(), path="../x", expect=400)
