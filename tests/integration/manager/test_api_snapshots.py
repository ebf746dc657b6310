"""A revision pins the files of its model folder: over the API, from the upload to the removal of what nobody needs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.manifest import FolderManifest, snapshot_files
from headrace.manager.folders.storage import open_storage
from headrace.manager.loops.snapshots import SnapshotsLoop
from tests.integration.manager.test_api_services import DEFINITION
from tests.support.worlds.manager_api import ManagerApi

SERVICE = {"name": "chat", "folder": "m", "image": "img", "slots": {"cpu": 1, "mem": "1g"}}


@pytest.fixture
async def folder(api: ManagerApi) -> str:
    files: dict[str, bytes | str] = {"model-definition.yaml": DEFINITION, "weights": b"old"}
    return await api.admin.folder("m", files)


async def manifest_of(api: ManagerApi, revision: int) -> FolderManifest:
    found = await api.admin.call("GET", f"/v1/services/chat/revisions/{revision}/manifest")
    return FolderManifest.model_validate(found)


async def pinned(api: ManagerApi, folder: str, revision: int) -> Path:
    """Return the directory that the revision's replicas see."""
    found = await api.admin.call("GET", f"/v1/services/chat/revisions/{revision}")
    return api.folders / snapshot_files(FolderId(UUID(folder)), found["effective"]["mounts"][0]["snapshot_id"])


async def changed(api: ManagerApi) -> Any:
    return (await api.admin.call("GET", "/v1/services/chat"))["folder_changed"]


async def update(api: ManagerApi) -> Any:
    spec = {name: value for name, value in SERVICE.items() if name != "name"}
    return await api.admin.call("PATCH", "/v1/services/chat", {"spec": spec})


async def one_pass(api: ManagerApi, *, unused_for_s: float) -> None:
    with open_storage(api.folders) as storage:
        await SnapshotsLoop(api.pool, storage, unused_for_s=unused_for_s).one_pass()


async def usage(api: ManagerApi) -> tuple[int, int]:
    row = await api.pool.fetchrow("select stored_bytes, stored_files from folders")
    assert row is not None
    return row["stored_bytes"], row["stored_files"]


async def test_an_update_takes_the_new_files_a_restart_the_pinned_and_a_rollback_the_old_ones(
    api: ManagerApi, folder: str
) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    assert await changed(api) is False
    await api.admin.upload(folder, "weights", b"new")
    assert await changed(api) is True
    await api.admin.call("POST", "/v1/services/chat/restart")
    assert (await pinned(api, folder, 2)) == (await pinned(api, folder, 1))
    assert await changed(api) is True
    assert (await update(api))["revision"] == 3
    assert await changed(api) is False
    assert ((await pinned(api, folder, 3)) / "weights").read_bytes() == b"new"
    assert ((await pinned(api, folder, 1)) / "weights").read_bytes() == b"old"
    back = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1})
    assert back["revision"] == 4
    assert ((await pinned(api, folder, 4)) / "weights").read_bytes() == b"old"
    assert await changed(api) is True


async def test_an_update_without_another_file_or_field_replaces_nothing(api: ManagerApi, folder: str) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    await api.admin.upload(folder, "weights", b"old")  # the same content again
    assert await changed(api) is False
    seen = await update(api)
    assert (seen["revision"], seen["note"]["code"]) == (1, "unchanged")


async def test_the_definition_is_read_of_the_files_that_are_pinned(api: ManagerApi, folder: str) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    await api.admin.upload(folder, "model-definition.yaml", DEFINITION.replace("8000", "8001").encode())
    seen = await update(api)
    assert seen["effective"]["port"] == 8001
    assert "8001" in ((await pinned(api, folder, 2)) / "model-definition.yaml").read_text()
    assert "8000" in ((await pinned(api, folder, 1)) / "model-definition.yaml").read_text()


async def test_manifests_name_the_files_of_the_folder_and_of_each_revision(api: ManagerApi, folder: str) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    await api.admin.upload(folder, "deep/more", b"m")
    now = FolderManifest.model_validate(await api.admin.call("GET", "/v1/folders/m/manifest"))
    assert [file.path for file in now.files] == ["deep/more", "model-definition.yaml", "weights"]
    assert now.files[2].sha256 == hashlib.sha256(b"old").hexdigest()
    first = await manifest_of(api, 1)
    assert [file.path for file in first.files] == ["model-definition.yaml", "weights"]
    found = await api.admin.call("GET", "/v1/services/chat/revisions/1")
    assert found["effective"]["mounts"][0]["snapshot_id"] == first.snapshot_id
    missing = await api.admin.call("GET", "/v1/services/chat/revisions/2/manifest", expect=404)
    assert missing["detail"] == "service chat has no revision 2"


async def test_a_revision_without_a_snapshot_says_so_and_goes_on(api: ManagerApi, folder: str) -> None:
    """One that a version without snapshots made is restarted as it is, and pinned by the next update."""
    await api.admin.call("POST", "/v1/services", SERVICE)
    await api.pool.execute("update revisions set resolved = resolved #- '{mounts,0,snapshot_id}'")
    assert await changed(api) is None
    missing = await api.admin.call("GET", "/v1/services/chat/revisions/1/manifest", expect=404)
    assert missing["detail"] == "revision 1 of service chat has no snapshot: an older version made it"
    seen = await api.admin.call("POST", "/v1/services/chat/restart")
    assert seen["effective"]["mounts"][0]["snapshot_id"] is None
    assert (await update(api))["effective"]["mounts"][0]["snapshot_id"] is not None


async def test_a_folder_with_files_of_other_writers_is_pinned_as_it_is(api: ManagerApi, folder: str) -> None:
    (api.folders / folder / "copied").write_bytes(b"over the shared storage")
    await api.admin.call("POST", "/v1/services", SERVICE)
    first = await manifest_of(api, 1)
    assert [file.path for file in first.files] == ["copied", "model-definition.yaml", "weights"]
    _beside(api, b"another").replace(api.folders / folder / "copied")
    assert await changed(api) is True


async def test_snapshots_go_when_no_revision_needs_them_and_their_bytes_are_counted_until_then(
    api: ManagerApi, folder: str
) -> None:
    definition = len(DEFINITION.encode())
    await api.admin.call("POST", "/v1/services", SERVICE)
    assert await usage(api) == (definition + 3, 2)
    await api.admin.upload(folder, "weights", b"newer")
    assert await usage(api) == (definition + 8, 3), "the old file is still needed"
    await update(api)
    first, second = await pinned(api, folder, 1), await pinned(api, folder, 2)
    await one_pass(api, unused_for_s=-1)
    assert first.is_dir(), "revision 1 can be rolled back to"
    await api.pool.execute("delete from revisions where number = 1")
    await one_pass(api, unused_for_s=3600)
    assert first.is_dir(), "somebody has just asked for it"
    await one_pass(api, unused_for_s=-1)
    assert (first.is_dir(), second.is_dir()) == (False, True)
    assert await usage(api) == (definition + 5, 2)
    await api.admin.remove("chat")
    await one_pass(api, unused_for_s=-1)
    assert not second.is_dir()
    assert await usage(api) == (definition + 5, 2)


async def test_a_trial_run_keeps_its_snapshot_until_it_has_ended(api: ManagerApi, folder: str) -> None:
    spec = {name: value for name, value in SERVICE.items() if name != "name"}
    started = await api.admin.call("POST", "/v1/validations", spec)
    (snapshot,) = [path for path in (api.folders / ".snapshots" / folder).iterdir() if path.is_dir()]
    await one_pass(api, unused_for_s=-1)
    assert snapshot.is_dir()
    await api.pool.execute("update sessions set status = 'ended', ended_at = now() where id = $1", started["id"])
    await one_pass(api, unused_for_s=-1)
    assert not snapshot.is_dir()


async def test_a_deleted_folder_takes_its_snapshots_with_it(api: ManagerApi, folder: str) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    await api.admin.remove("chat")
    await api.admin.call("DELETE", "/v1/folders/m?purge=true")
    assert list((api.folders / ".snapshots").iterdir()) == []


async def test_a_stranger_sees_no_manifest(api: ManagerApi, folder: str) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    stranger = await api.user("stranger")
    await stranger.call("GET", "/v1/folders/m/manifest", expect=404)
    await stranger.call("GET", "/v1/services/chat/revisions/1/manifest", expect=404)
    await stranger.close()


def _beside(api: ManagerApi, content: bytes) -> Path:
    path = api.folders / "beside"
    path.write_bytes(content)
    return path
