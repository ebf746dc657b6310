"""Deleted folders: kept for a while, restored, and purged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.common.contracts.ids import FolderId
from headrace.common.db.pool import Pool
from headrace.manager.folders.storage import open_storage
from headrace.manager.loops.trash import TrashLoop
from tests.support.worlds.manager_api import ManagerApi, serving


@pytest.fixture
async def few(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The API for projects of three folders."""
    async with serving(pool, tmp_path, folders_per_project=3) as running:
        yield running


async def trash(api: ManagerApi, **query: str) -> list[Any]:
    """Return what is in the trash."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return list((await api.admin.call("GET", f"/v1/trash?{asked}"))["items"])


async def stored(api: ManagerApi) -> int:
    """Return the bytes that are counted for the project."""
    return int((await api.admin.call("GET", "/v1/projects/default/usage"))["used"].get("storage", 0))


async def purged(api: ManagerApi, kept_for: timedelta, *, batch: int = 10) -> None:
    """Run a pass of the loop."""
    with open_storage(api.folders) as storage:
        await TrashLoop(api.pool, storage, kept_for=kept_for, batch=batch).one_pass()


async def test_a_deleted_folder_is_kept_counted_and_restored_with_its_files(api: ManagerApi) -> None:
    first = await api.admin.folder("m", {"a": b"12345", "d/x": b"1"})
    await api.admin.call("DELETE", "/v1/folders/m", expect=204)
    for path in ("/v1/folders/m", f"/v1/folders/{first}", f"/v1/folders/{first}/files", "/v1/models/m"):
        await api.admin.call("GET", path, expect=404)
    assert (await api.admin.call("GET", "/v1/folders"))["items"] == []
    assert (await api.admin.call("GET", "/v1/search?q=m&kind=folder"))["items"] == []
    body = {"name": "s", "runtime": "cmd", "image": "img", "project": "default"}
    await api.admin.call("POST", "/v1/services", {**body, "folder": first}, expect=404)
    (there,) = await trash(api)
    assert (there["id"], there["name"], there["stored_bytes"], there["stored_files"]) == (first, "m", 6, 3)
    assert there["deleted_by"] == "admin"
    assert there["purged_at"] > there["deleted_at"]
    assert await stored(api) == 6
    holders = (await api.admin.call("GET", "/v1/projects/default/usage"))["holders"]
    assert [holder["name"] for holder in holders] == ["m (in the trash)"]
    second = await api.admin.folder("m", {"b": b"2"})
    problem = await api.admin.call("POST", f"/v1/trash/{first}/restore", {}, expect=409)
    assert "another name" in problem["detail"]
    restored = await api.admin.call("POST", f"/v1/trash/{first}/restore", {"name": "old"})
    assert (restored["id"], restored["name"]) == (first, "old")
    assert (await api.admin.http.get("/v1/folders/old/files/d/x")).content == b"1"
    assert await trash(api) == []
    await api.admin.call("POST", f"/v1/trash/{first}/restore", {}, expect=404)
    await api.admin.call("DELETE", f"/v1/trash/{second}", expect=404)
    await api.admin.upload(first, "e", b"123")
    assert await stored(api) == 10
    events = (await api.admin.call("GET", "/v1/audit?action=folder.*"))["items"]
    done = [(event["action"], event["details"]["folder"]) for event in reversed(events)]
    assert done == [
        ("folder.created", "m"),
        ("folder.deleted", "m"),
        ("folder.created", "m"),
        ("folder.restored", "old"),
    ]


async def test_a_name_that_several_deleted_folders_had_is_no_reference(api: ManagerApi) -> None:
    ids = []
    for content in (b"1", b"22"):
        ids.append(await api.admin.folder("m", {"f": content}))
        await api.admin.call("DELETE", "/v1/folders/m", expect=204)
    problem = await api.admin.call("DELETE", "/v1/trash/m", expect=400)
    assert problem["errors"][0]["allowed"] == "an id: several deleted folders were called m"
    await api.admin.call("DELETE", f"/v1/trash/{ids[0]}", expect=204)
    assert not api.folders.joinpath(".trash", ids[0]).exists()
    assert await stored(api) == 2
    assert (await api.admin.call("POST", "/v1/trash/m/restore", {}))["id"] == ids[1]


async def test_roles_decide_and_no_other_project_s_trash_is_seen(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"f": b"1"})
    await api.admin.call("DELETE", "/v1/folders/m", expect=204)
    viewer = await api.user("reader", default="viewer")
    stranger = await api.user("stranger")
    assert [one["id"] for one in (await viewer.call("GET", "/v1/trash"))["items"]] == [folder]
    assert (await stranger.call("GET", "/v1/trash"))["items"] == []
    for method, path, body in (("POST", f"/v1/trash/{folder}/restore", {}), ("DELETE", f"/v1/trash/{folder}", None)):
        await viewer.call(method, path, body, expect=403)
        await stranger.call(method, path, body, expect=404)
    member = await api.user("maker", default="member")
    await member.call("POST", f"/v1/trash/{folder}/restore", {})


async def test_what_is_due_is_purged_in_bounded_steps_and_what_a_deleted_project_left_at_once(api: ManagerApi) -> None:
    ids = [await api.admin.folder(f"f{n}", {"f": b"12"}) for n in range(3)]
    for folder in ids:
        await api.admin.call("DELETE", f"/v1/folders/{folder}", expect=204)
    await purged(api, timedelta(days=1))
    assert len(await trash(api)) == 3
    await purged(api, timedelta(0), batch=2)
    assert [one["id"] for one in await trash(api)] == [ids[2]]
    assert [(api.folders / ".trash" / folder).exists() for folder in ids] == [False, False, True]
    assert await stored(api) == 2
    (event, *_) = (await api.admin.call("GET", "/v1/audit?action=folder.purged"))["items"]
    assert event["details"]["folder"] in {"f0", "f1"}
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    left = await api.admin.folder("m", {"f": b"1"}, project="other")
    await api.admin.call("DELETE", f"/v1/folders/{left}", expect=204)
    await api.admin.call("DELETE", "/v1/projects/other", expect=204)
    await purged(api, timedelta(days=1))
    assert not (api.folders / ".trash" / left).exists()
    assert [one["id"] for one in await trash(api)] == [ids[2]]


async def test_a_purge_takes_no_way_over_the_trash_and_the_trash_counts_as_folders(few: ManagerApi) -> None:
    for name in ("a", "b", "c"):
        await few.admin.folder(name, {})
    await few.admin.call("DELETE", "/v1/folders/a", expect=204)
    problem = await few.admin.call("POST", "/v1/folders", {"name": "d", "project": "default"}, expect=409)
    assert problem["detail"] == "project default: found 3 folders (1 of them in the trash); allowed: at most 3"
    await few.admin.call("DELETE", "/v1/trash/a", expect=204)
    gone = await few.admin.folder("d", {"f": b"1"})
    await few.admin.call("DELETE", "/v1/folders/d?purge=true", expect=204)
    assert await trash(few) == []
    assert not (few.folders / gone).exists()
    await few.admin.folder("e", {})


async def test_what_a_manager_that_ended_in_the_middle_left_is_taken_up(api: ManagerApi) -> None:
    """A deletion that did not move the files, and a restore that moved them without saying so."""
    folder = await api.admin.folder("m", {"f": b"1"})
    await api.admin.call("DELETE", "/v1/folders/m", expect=204)
    with open_storage(api.folders) as storage:
        storage.trash.restore(FolderId(UUID(folder)))
    assert (await api.admin.call("POST", "/v1/trash/m/restore", {}))["id"] == folder
    assert (await api.admin.http.get("/v1/folders/m/files/f")).content == b"1"
    await api.admin.call("DELETE", "/v1/folders/m", expect=204)
    with open_storage(api.folders) as storage:
        storage.trash.restore(FolderId(UUID(folder)))
    await api.admin.call("DELETE", "/v1/trash/m", expect=204)
    assert not (api.folders / folder).exists()
