"""What a project may store: bytes and files of its folders, and the room of the disk, told before anything is read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.common.contracts.ids import FolderId, new_uuid
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.folders.storage import open_storage
from headrace.manager.loops.measuring import MeasuringLoop
from headrace.manager.store import folders
from tests.integration.manager.test_api_archives import TAR, content_of, entry, send, tar
from tests.integration.manager.test_api_folders import begin, patch
from tests.support.api import TUS
from tests.support.disk import small_disk
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi, serving


@pytest.fixture
async def small(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """An API whose projects may store 10,000 bytes in 20 files."""
    async with serving(pool, tmp_path, storage_bytes_per_project=10_000, stored_files_per_project=20) as running:
        yield running


async def used(api: ManagerApi, project: str = "default") -> tuple[int, int]:
    """Return the bytes and files that count for the project."""
    told = await api.admin.call("GET", f"/v1/projects/{project}/usage")
    return int(told["used"]["storage"]), int(told["used"]["files"])


async def upload(api: ManagerApi, folder: str, path: str, content: bytes) -> None:
    await patch(api, await begin(api, folder, path, len(content)), 0, content)


def on_disk(root: Path) -> tuple[int, int]:
    found = list(root.rglob("*"))
    return sum(p.lstat().st_size for p in found if p.is_file() and not p.is_symlink()), len(found)


async def test_what_is_stored_is_counted_with_each_change_as_it_lies_on_the_disk(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    root = small.folders / folder
    await upload(small, folder, "a/b/c", b"x" * 1000)
    assert await used(small) == on_disk(root) == (1000, 3)
    await upload(small, folder, "a/b/c", b"x" * 300)
    assert await used(small) == on_disk(root) == (300, 3)
    await send(small, folder, tar(entry("a/b/c", b"1" * 500), entry("d/e", b"22"), entry("f", type=b"5")))
    assert await used(small) == on_disk(root) == (502, 6)
    await small.admin.call("DELETE", f"/v1/folders/{folder}/files/d/e", expect=204)
    assert await used(small) == on_disk(root) == (500, 5)
    await small.admin.call("DELETE", f"/v1/folders/{folder}/files/a", expect=204)
    assert await used(small) == on_disk(root) == (0, 2)
    await small.admin.call("DELETE", f"/v1/folders/{folder}?purge=true", expect=204)
    assert await used(small) == (0, 0)


async def test_an_upload_beyond_the_quota_is_refused_with_the_numbers_before_a_byte_is_read(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    await upload(small, folder, "a", b"x" * 6000)
    answer = await small.admin.http.post(
        f"/v1/folders/{folder}/uploads", headers={**TUS, "Upload-Length": "4001", "Upload-Metadata": "path Yg=="}
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, "urn:headrace:problem:quota-exceeded")
    assert problem["detail"].endswith(
        "would hold 10001 bytes of storage: 6000 bytes are held and 4001 bytes are asked for; its limit is 10000 bytes"
    )
    assert (problem["slot"], problem["limit"], problem["used"], problem["requested"]) == (
        "storage",
        "10000",
        "6000",
        "4001",
    )
    assert list((small.folders / ".uploads").iterdir()) == []


async def test_an_open_upload_counts_in_full_until_it_is_complete_or_cancelled(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    where = await begin(small, folder, "d/a", 9000)
    assert await used(small) == (9000, 2)
    await begin(small, folder, "b", 1001, expect=409)
    await small.admin.http.delete(where, headers=TUS)
    assert await used(small) == (0, 0)
    await begin(small, folder, "b", 1001)


async def test_an_archive_is_refused_at_the_file_that_does_not_fit_before_its_content_is_read(
    small: ManagerApi,
) -> None:
    folder = await small.admin.folder("m", {})
    whole = tar(entry("a", b"1" * 6000), entry("big", bytes(2 * 2**20)))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(small.url.rpartition(":")[2]))
    head = (
        f"POST /v1/folders/{folder}/archive HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.admin.key}\r\n"
        f"Content-Type: application/x-tar\r\nContent-Length: {len(whole)}\r\n\r\n"
    )
    writer.write(head.encode() + whole[: 2**20 + 8192])  # half of it never comes
    async with asyncio.timeout(60):
        assert await reader.readline() == b"HTTP/1.1 409 Conflict\r\n"
        answer = (await reader.read(65_536)).decode()
    writer.close()
    assert "6000 bytes are held and 2097152 bytes are asked for" in answer
    assert "What came before is in its place: 1 files" in answer
    assert content_of(small.folders / folder) == {"a": b"1" * 6000}
    assert await used(small) == (6000, 1)
    assert list((small.folders / ".uploads").iterdir()) == []


async def test_what_comes_into_a_deleted_folder_ends_since_it_counts_no_more(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    where = await begin(small, folder, "b", 3000)
    archive = tar(entry("a", b"1" * 6000), entry("../refused", bytes(3 * 2**20)), entry("c", b"2"))
    go_on = asyncio.Event()

    async def slowly(content: bytes, begin: int) -> AsyncIterator[bytes]:
        yield content[:begin]
        await go_on.wait()
        yield content[begin:]

    http, uploads = small.admin.http, small.folders / ".uploads"
    part = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    sending = [
        asyncio.create_task(
            http.post(f"/v1/folders/{folder}/archive", content=slowly(archive, 2 * 2**20), headers=TAR)
        ),
        asyncio.create_task(http.patch(where, content=slowly(b"3" * 3000, 2000), headers=part)),
    ]
    await eventually(lambda: (small.folders / folder / "a").exists() and on_disk(uploads) == (2000, 1))
    await small.admin.call("DELETE", f"/v1/folders/{folder}", expect=204)
    go_on.set()
    assert [(await one).status_code for one in sending] == [404, 404]
    assert list(uploads.iterdir()) == []
    assert await used(small) == (6000, 1), "it is in the trash"
    await small.admin.call("DELETE", f"/v1/trash/{folder}", expect=204)
    assert await used(small) == (0, 0)


async def test_files_and_directories_are_bounded_in_number(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    problem = await send(small, folder, tar(*(entry(f"d/{n}") for n in range(30))), expect=409)
    assert problem["slot"] == "files"
    count = (await used(small))[1]
    assert count == on_disk(small.folders / folder)[1]
    assert count in {19, 20}  # a further one might have needed a directory as well
    await begin(small, folder, "/".join("abc"), 1, expect=409)


async def test_what_replaces_files_needs_no_room_of_its_own_in_an_archive(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    archive = tar(*(entry(f"{n}", b"x" * 900) for n in range(10)))
    for _ in range(3):
        assert (await send(small, folder, archive))["files"] == 10
    assert await used(small) == on_disk(small.folders / folder) == (9000, 10)


async def test_a_broken_archive_leaves_only_what_is_there_counted(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    await send(small, folder, tar(entry("a", b"1" * 600), entry("b", b"2" * 3000))[:3000], expect=400)
    assert await used(small) == on_disk(small.folders / folder) == (600, 1)


async def test_a_project_s_quota_beats_what_the_installation_allows(small: ManagerApi) -> None:
    quota = {"storage": "1m", "files": 2}
    await small.admin.call("POST", "/v1/projects", {"name": "large", "quota": quota})
    told = await small.admin.call("GET", "/v1/projects/large/usage")
    assert {k: float(v) for k, v in told["limits"].items()} == {"storage": 1048576.0, "files": 2.0}
    await small.admin.call("POST", "/v1/folders", {"name": "big", "project": "large"})
    folder = (await small.admin.call("GET", "/v1/folders/big"))["id"]
    await upload(small, folder, "a", b"x" * 50_000)
    assert await used(small, "large") == (50_000, 1)
    assert await used(small) == (0, 0)
    await upload(small, folder, "b", b"x")
    await begin(small, folder, "c", 1, expect=409)


async def test_a_walk_corrects_what_was_not_counted_and_leaves_alone_what_changed_meanwhile(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    await upload(small, folder, "a", b"x" * 100)
    root = small.folders / folder
    (root / "by/a/container").mkdir(parents=True)
    (root / "by/a/container/file").write_bytes(b"y" * 50)
    (root / "out").symlink_to("/etc")
    with open_storage(small.folders) as storage:
        poked: list[str] = []
        loop = MeasuringLoop(small.pool, storage, lambda *names: poked.extend(names), every=timedelta(0))
        await loop.one_pass()
        assert await used(small) == (150, 6)
        assert poked == ["measuring"]

        seen, held = storage.call, new_uuid()

        async def uploads_meanwhile(function: Any, **more: Any) -> Any:
            storage.call = seen  # type: ignore[method-assign]
            async with transaction(small.pool) as con:
                await folders.reserve(con, FolderId(UUID(folder)), held, StorageUsage(1000, 2))
            return await seen(function, **more)

        (root / "by/another").write_bytes(b"z" * 30)
        storage.call = uploads_meanwhile  # type: ignore[method-assign]
        await loop.one_pass()
        assert await used(small) == (1150, 8)  # walked again when it has ended
        async with transaction(small.pool) as con:
            await folders.settle(con, FolderId(UUID(folder)), held, StorageChange())
        await small.pool.execute("update folders set measured_at = null")
        await loop.one_pass()
        assert await used(small) == (180, 7)


async def test_a_folder_is_walked_when_it_is_due_also_where_it_changed_just_now(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    await upload(small, folder, "a", b"x")
    await small.pool.execute("update folders set stored_bytes = 5, measured_at = null")
    with open_storage(small.folders) as storage:
        await MeasuringLoop(small.pool, storage, lambda *_: None, every=timedelta(days=1)).one_pass()
        assert (await used(small))[0] == 1
        await small.pool.execute("update folders set stored_bytes = 5")
        await MeasuringLoop(small.pool, storage, lambda *_: None, every=timedelta(days=1)).one_pass()
        assert (await used(small))[0] == 5  # a day has not passed


async def test_what_a_manager_that_was_killed_had_reserved_counts_for_a_quarter_of_an_hour(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    async with transaction(small.pool) as con:
        await folders.reserve(con, FolderId(UUID(folder)), new_uuid(), StorageUsage(9000, 5))
    await begin(small, folder, "a", 2000, expect=409)
    assert await used(small) == (9000, 5)
    await small.pool.execute("update reservations set touched_at = now() - interval '16 minutes'")
    await begin(small, folder, "a", 2000)
    with open_storage(small.folders) as storage:
        await MeasuringLoop(small.pool, storage, lambda *_: None, every=timedelta(days=1)).one_pass()
    assert await small.pool.fetchval("select count(*) from reservations") == 0


async def test_no_request_that_has_ended_leaves_a_reservation(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    await upload(small, folder, "a/b", b"x" * 10)
    await send(small, folder, tar(entry("a/c", b"1"), entry("a/b/d", b"2")))
    await send(small, folder, tar(entry("e", b"1" * 600), entry("f", b"2" * 3000))[:3000], expect=400)
    await upload(small, folder, "a/c", b"2" * 20)
    await small.admin.call("DELETE", f"/v1/folders/{folder}/files/a/b", expect=204)
    assert await used(small) == on_disk(small.folders / folder)
    assert await small.pool.fetchval("select count(*) from reservations") == 0
    row = await small.pool.fetchrow("select * from folders")
    assert row["gained_bytes"] - row["lost_bytes"] == row["stored_bytes"]
    assert row["gained_files"] - row["lost_files"] == row["stored_files"]


async def test_open_uploads_are_listed_with_what_they_hold_and_can_be_cancelled(small: ManagerApi) -> None:
    folder = await small.admin.folder("m", {})
    first, second, third = [await begin(small, folder, path, 3000) for path in ("a", "b/c", "d")]
    await patch(small, second, 0, b"x" * 1000)
    page = await small.admin.call("GET", f"/v1/folders/{folder}/uploads?limit=2")
    rest = await small.admin.call("GET", f"/v1/folders/{folder}/uploads?limit=2&cursor={page['next']}")
    found = page["items"] + rest["items"]
    assert rest["next"] is None
    assert [(one["path"], one["size_bytes"], one["received_bytes"]) for one in found] == [
        ("a", 3000, 0),
        ("b/c", 3000, 1000),
        ("d", 3000, 0),
    ]
    assert [where.endswith(one["id"]) for where, one in zip((first, second, third), found, strict=True)] == [True] * 3
    assert all(one["created_by"] and one["created_at"] <= one["expires_at"] for one in found)
    assert (await used(small))[0] == 9000
    await small.admin.http.delete(second, headers=TUS)
    assert (await used(small))[0] == 6000
    assert len((await small.admin.call("GET", f"/v1/folders/{folder}/uploads"))["items"]) == 2


async def test_a_disk_without_room_refuses_with_what_is_needed_free_and_kept(pool: Pool, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        kept = 4 * 2**20
        async with serving(
            pool, tmp_path, folders_root=disk.path / "folders", storage_reserve_bytes=kept, upload_limit_bytes=2**30
        ) as api:
            folder = await api.admin.folder("m", {})
            answer = await api.admin.http.post(
                f"/v1/folders/{folder}/uploads",
                headers={**TUS, "Upload-Length": str(100 * 2**20), "Upload-Metadata": "path YQ=="},
            )
            problem = answer.json()
            assert (answer.status_code, problem["needed_bytes"], problem["reserve_bytes"]) == (507, 100 * 2**20, kept)
            assert problem["free_bytes"] == pytest.approx(disk.free, abs=2**20)
            assert "for a: 100 MiB are needed, 1" in problem["detail"]
            assert "4 MiB are kept (setting storage_reserve_bytes)" in problem["detail"]

            where = await begin(api, folder, "b", 8 * 2**20)
            disk.fill(but=6 * 2**20)
            problem = (await patch(api, where, 0, bytes(8 * 2**20), expect=507)).json()
            assert problem["needed_bytes"] <= 8 * 2**20
            problem = await send(api, folder, tar(entry("s", b"1"), entry("large", bytes(5 * 2**20))), expect=507)
            assert "for large: 5 MiB are needed" in problem["detail"]
            assert content_of(api.folders / folder) == {"s": b"1"}
            disk.fill()
            problem = await send(api, folder, tar(entry("t", b"1")), expect=507)
            assert problem["free_bytes"] < kept
            disk.empty()
            await patch(api, where, 0, os.urandom(8 * 2**20))
