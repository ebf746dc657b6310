"""Folders that are renamed, and files and directories that are made and moved in them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from headrace.manager.usecases.files import MAX_WRITTEN_BYTES
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


async def put(api: ManagerApi, url: str, content: bytes, **headers: str) -> httpx.Response:
    """Write a file."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.admin.http.put(url, content=content, headers=named)


async def test_a_file_is_written_only_over_the_content_that_its_writer_saw(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    url = f"/v1/folders/{folder}/files/docs/README.md"
    made = await put(api, url, b"one", If_None_Match="*")
    assert (made.status_code, made.json()["path"], made.json()["size_bytes"]) == (201, "docs/README.md", 3)
    tag = made.headers["ETag"]
    assert tag == f'"{made.json()["etag"]}"'
    got = await api.admin.http.get(url)
    assert (got.content, got.headers["ETag"]) == (b"one", tag)
    assert (await put(api, url, b"new", If_None_Match="*")).status_code == 412
    changed = await put(api, url, b"two", If_Match=tag)
    assert changed.status_code == 200
    refused = await put(api, url, b"lost", If_Match=tag)
    assert refused.status_code == 412
    (error,) = refused.json()["errors"]
    assert (error["field"], error["found"], error["allowed"]) == (
        "If-Match",
        tag.strip('"'),
        changed.headers["ETag"].strip('"'),
    )
    assert (await put(api, f"{url}.new", b"x", If_Match=tag)).status_code == 412
    assert (await put(api, f"{url}.new", b"x", If_Match="*")).status_code == 412
    assert (await put(api, url, b"three", If_Match="*")).status_code == 200
    assert (await put(api, url, b"1", If_None_Match=tag)).status_code == 400
    assert (await api.admin.http.get(url)).content == b"three"
    assert await paths(api, folder) == ["docs", "docs/README.md"]
    assert await stored(api) == (5, 2)


async def test_of_several_who_write_what_they_all_saw_one_does(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"f": b"before"})
    url = f"/v1/folders/{folder}/files/f"
    tag = (await api.admin.http.get(url)).headers["ETag"]
    answers = await asyncio.gather(*(put(api, url, b"by %d" % n, If_Match=tag) for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    (won,) = (n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert (await api.admin.http.get(url)).content == b"by %d" % won
    first = await asyncio.gather(*(put(api, f"{url}/x/{n}", b"") for n in range(2)))
    assert {answer.status_code for answer in first} == {409}, "f is a file"
    new = await asyncio.gather(*(put(api, f"{url}.new", b"", If_None_Match="*") for _ in range(8)))
    assert sorted(answer.status_code for answer in new) == [201, *[412] * 7]


async def test_what_is_written_at_once_is_bounded_and_needs_the_right(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    url = f"/v1/folders/{folder}/files/f"
    whole = bytes(MAX_WRITTEN_BYTES)
    assert (await put(api, url, whole)).status_code == 201
    refused = await put(api, url, whole + b"1")
    assert (refused.status_code, refused.json()["limit"]) == (413, MAX_WRITTEN_BYTES)
    assert (await put(api, f"/v1/folders/{folder}/files/../f", b"")).status_code == 404
    await api.admin.call("POST", f"/v1/folders/{folder}/directories", {"path": "d"})
    assert (await put(api, f"/v1/folders/{folder}/files/d", b"")).status_code == 409
    viewer = await api.user("reader", default="viewer")
    assert (await viewer.http.put(url, content=b"x")).status_code == 403
    await api.admin.call("PATCH", "/v1/projects/default", {"quota": {"storage": MAX_WRITTEN_BYTES}})
    refused = await put(api, f"{url}2", b"x")
    assert (refused.status_code, refused.json()["slot"]) == (409, "storage")
    assert await stored(api) == (MAX_WRITTEN_BYTES, 2)


async def test_a_reader_is_told_without_the_content_what_is_there(api: ManagerApi) -> None:
    small, large = b"0123456789", bytes(MAX_WRITTEN_BYTES + 1)
    folder = await api.admin.folder("m", {"small": small, "large": large})
    http = api.admin.http
    for name, content in (("small", small), ("large", large)):
        url = f"/v1/folders/{folder}/files/{name}"
        head = await http.head(url)
        assert (head.status_code, head.content, int(head.headers["Content-Length"])) == (200, b"", len(content))
        tag = head.headers["ETag"]
        got = await http.get(url)
        assert (got.headers["ETag"], got.headers["Last-Modified"]) == (tag, head.headers["Last-Modified"])
        for known in (tag, f'"x", W/{tag}', "*"):
            same = await http.get(url, headers={"If-None-Match": known})
            assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
            assert (await http.head(url, headers={"If-None-Match": known})).status_code == 304
        part = await http.get(url, headers={"Range": "bytes=2-4", "If-Range": tag, "If-None-Match": '"x"'})
        assert (part.status_code, part.content) == (206, content[2:5])
    assert (await http.head(f"/v1/folders/{folder}/files/none")).status_code == 404
    tag = (await http.head(f"/v1/folders/{folder}/files/small")).headers["ETag"]
    body = {"name": "pins", "runtime": "cmd", "image": "img", "project": "default", "folder": "m", "replicas": 0}
    await api.admin.call("POST", "/v1/services", body)
    await api.admin.call("POST", f"/v1/folders/{folder}/moves", {"path": "small", "to": "moved"})
    assert (await http.head(f"/v1/folders/{folder}/files/moved")).headers["ETag"] == tag
