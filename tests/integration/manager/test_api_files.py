"""Folders that are renamed, and files and directories that are made and moved in them."""

from __future__ import annotations

from typing import Any

from tests.support.worlds.manager_api import ManagerApi


async def paths(api: ManagerApi, folder: str) -> list[str]:
    """Return all paths in the folder."""
    return [item["path"] for item in (await api.admin.call("GET", f"/v1/folders/{folder}/files?recursive=1"))["items"]]


async def stored(api: ManagerApi) -> tuple[int, int]:
    """Return the bytes and files that are counted for the project."""
    used = (await api.admin.call("GET", "/v1/projects/default/usage"))["used"]
    return int(used.get("storage", 0)), int(used.get("files", 0))


async def actions(api: ManagerApi, noun: str) -> list[tuple[str, Any]]:
    """Return what the audit log has of `noun`, oldest first."""
    found = (await api.admin.call("GET", f"/v1/audit?action={noun}.*"))["items"]
    return [(event["action"], event["details"]) for event in reversed(found)]


async def test_directories_and_moves_are_counted_recorded_and_replace_nothing(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"a": b"12345", "d/x": b"1"})
    url = f"/v1/folders/{folder}"
    made = await api.admin.call("POST", f"{url}/directories", {"path": "new/er/"}, expect=201)
    assert (made["path"], made["kind"]) == ("new/er", "directory")
    await api.admin.call("POST", f"{url}/directories", {"path": "new/er"}, expect=200)
    assert await stored(api) == (6, 5)
    moved = await api.admin.call("POST", f"{url}/moves", {"path": "a", "to": "new/er/b"})
    assert (moved["path"], moved["size_bytes"]) == ("new/er/b", 5)
    await api.admin.call("POST", f"{url}/moves", {"path": "d", "to": "later/e"})
    assert await paths(api, folder) == ["later", "later/e", "later/e/x", "new", "new/er", "new/er/b"]
    assert await stored(api) == (6, 6)
    problem = await api.admin.call("POST", f"{url}/moves", {"path": "later/e/x", "to": "new/er/b"}, expect=409)
    assert "already" in problem["detail"]
    for body in ({"path": "new", "to": "new"}, {"path": "new", "to": "new/er/below"}, {"path": "new", "to": "../out"}):
        problem = await api.admin.call("POST", f"{url}/moves", body, expect=400)
        assert problem["errors"][0]["field"] == "to"
    await api.admin.call("POST", f"{url}/moves", {"path": "none", "to": "b"}, expect=404)
    assert await stored(api) == (6, 6)
    assert [(action, of["path"], of.get("to")) for action, of in await actions(api, "file") if "to" in of] == [
        ("file.moved", "a", "new/er/b"),
        ("file.moved", "d", "later/e"),
    ]
    viewer = await api.user("reader", default="viewer")
    for path, body in ((f"{url}/moves", {"path": "new", "to": "n"}), (f"{url}/directories", {"path": "n"})):
        await viewer.call("POST", path, body, expect=403)
    await viewer.call("PATCH", url, {"name": "n"}, expect=403)


async def test_what_mounts_a_folder_follows_its_new_name(api: ManagerApi) -> None:
    model = await api.admin.folder("m", {"f": b"1"})
    data = await api.admin.folder("sets", {}, usage_mode="data")
    body = {"name": "uses", "runtime": "cmd", "image": "img", "project": "default", "replicas": 0, "folder": "m"}
    mounts = [{"folder": "sets"}, {"folder": data, "target": "/by-id"}]
    await api.admin.call("POST", "/v1/services", {**body, "extra_mounts": mounts})
    before = (await api.admin.call("GET", "/v1/services/uses"))["effective"]["mounts"]
    assert (await api.admin.call("PATCH", "/v1/folders/m", {"name": "weights"}))["name"] == "weights"
    assert (await api.admin.call("PATCH", "/v1/folders/sets", {"name": "corpus"}))["id"] == data
    await api.admin.call("PATCH", f"/v1/folders/{model}", {"name": "weights"})
    renamed = (await api.admin.call("GET", "/v1/audit?action=folder.renamed"))["items"]
    assert [event["before"] for event in renamed] == [{"name": "sets"}, {"name": "m"}]
    await api.admin.folder("m", {"other": b"2"})  # its name is free again
    seen = await api.admin.call("GET", "/v1/services/uses/revisions/1")
    assert seen["spec"]["folder"] == "weights"
    assert [(mount["folder"], mount["target"]) for mount in seen["spec"]["extra_mounts"]] == [
        ("corpus", "/home/work/sets"),
        (data, "/by-id"),
    ]
    asked = {"service": "uses", "update": {"spec": seen["spec"]}}
    assert (await api.admin.call("POST", "/v1/resolutions", asked))["effect"] == "nothing"
    await api.admin.call("PATCH", "/v1/services/uses", {"spec": {**seen["spec"], "environ": {"A": "b"}}})
    after = (await api.admin.call("GET", "/v1/services/uses"))["effective"]["mounts"]
    ids = [(mount["folder_id"], mount["target"]) for mount in before]
    assert [(mount["folder_id"], mount["target"]) for mount in after] == ids
    await api.admin.call("POST", "/v1/services/uses/rollback", {"revision": 1})
    last = (await api.admin.call("GET", "/v1/services/uses"))["revision"]
    assert (await api.admin.call("GET", f"/v1/services/uses/revisions/{last}"))["spec"]["folder"] == "weights"
    await api.admin.call("PATCH", "/v1/folders/weights", {"name": "m"}, expect=409)
    await api.admin.call("PATCH", "/v1/folders/weights", {"name": None}, expect=400)
    await api.admin.call("PATCH", "/v1/folders/weights", {}, expect=400)
    found = await api.admin.call("GET", "/v1/services?folder=weights")
    assert [one["name"] for one in found["items"]] == ["uses"]
