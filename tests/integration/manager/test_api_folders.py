"""Folders: resumable uploads with a standard client, browsing, downloading, deleting; and no way out of the folder."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from tusclient.client import TusClient

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Pool
from tests.support.api import TUS
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi, serving

PART = {**TUS, "Content-Type": "application/offset+octet-stream"}


def metadata(path: str, **more: str) -> str:
    """Return an Upload-Metadata header."""
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}".strip() for k, v in {"path": path, **more}.items())


async def begin(api: ManagerApi, folder: str, path: str, size: int, *, expect: int = 201, **more: str) -> str:
    """Begin an upload and return its Location."""
    answer = await api.admin.http.post(
        f"/v1/folders/{folder}/uploads",
        headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata(path, **more)},
    )
    assert answer.status_code == expect, answer.text
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    return str(answer.headers.get("Location", ""))


async def patch(api: ManagerApi, where: str, offset: int, content: Any, *, expect: int = 204) -> httpx.Response:
    """Send a part."""
    answer = await api.admin.http.patch(where, content=content, headers={**PART, "Upload-Offset": str(offset)})
    assert answer.status_code == expect, answer.text
    return answer


async def offset(api: ManagerApi, where: str) -> int:
    """Return how far an upload is."""
    answer = await api.admin.http.head(where, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


async def test_a_standard_client_uploads_in_parts_and_resumes(api: ManagerApi, tmp_path: Path) -> None:
    folder = await api.admin.folder("m", {})
    source = tmp_path / "weights.bin"
    source.write_bytes(os.urandom(300_000))
    client = TusClient(f"{api.url}/v1/folders/{folder}/uploads", headers={"Authorization": f"Bearer {api.admin.key}"})
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    with source.open("rb") as stream:
        await _parts(api, client, stream, folder, digest)
    assert (api.folders / folder / "deep/er/weights.bin").read_bytes() == source.read_bytes()
    assert list((api.folders / ".uploads").iterdir()) == []


async def _parts(api: ManagerApi, client: TusClient, stream: BinaryIO, folder: str, digest: str) -> None:
    first = client.uploader(
        file_stream=stream,
        chunk_size=100_000,
        metadata={"path": "deep/er/weights.bin", "sha256": digest, "filename": "x"},
    )
    await asyncio.to_thread(first.upload_chunk)
    assert first.url is not None
    assert await offset(api, first.url) == 100_000
    assert not (api.folders / folder / "deep").exists(), "nothing is in place before the last byte"
    second = await asyncio.to_thread(client.uploader, file_stream=stream, chunk_size=100_000, url=first.url)
    assert second.offset == 100_000
    await asyncio.to_thread(second.upload)
    assert (await api.admin.http.head(first.url, headers=TUS)).status_code == 404


async def test_offsets_sizes_and_versions_are_checked(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    where = await begin(api, folder, "a", 10)
    await patch(api, where, 0, b"12345")
    await patch(api, where, 0, b"x", expect=409)
    await patch(api, where, 7, b"x", expect=409)
    await patch(api, where, 5, b"1234567", expect=413)
    assert await offset(api, where) == 5
    assert (await patch(api, where, 5, b"67890")).headers["Upload-Offset"] == "10"
    assert (api.folders / folder / "a").read_bytes() == b"1234567890"
    http = api.admin.http
    url = f"/v1/folders/{folder}/uploads"
    answer = await http.post(url, headers={"Upload-Length": "1", "Upload-Metadata": metadata("a")})
    assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")
    for headers in (
        {},
        {"Upload-Length": "-1"},
        {"Upload-Length": "1", "Upload-Metadata": "path !!"},
        {"Upload-Length": "1"},
    ):
        assert (await http.post(url, headers={**TUS, **headers})).status_code == 400, headers
    await begin(api, folder, "big", 11 * 1024 * 1024, expect=413)
    answer = await http.options(url)
    assert (answer.status_code, answer.headers["Tus-Version"], answer.headers["Tus-Max-Size"]) == (
        204,
        "1.0.0",
        "10485760",
    )
    assert "creation" in answer.headers["Tus-Extension"]
    where = await begin(api, folder, "b", 10)
    answer = await http.patch(where, content=b"1", headers={**TUS, "Upload-Offset": "0", "Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert (await http.delete(where, headers=TUS)).status_code == 204
    assert (await http.head(where, headers=TUS)).status_code == 404
    assert (await http.head(f"{url}/{new_uuid()}", headers=TUS)).status_code == 404


async def test_one_writer_at_a_time_and_a_broken_connection_keeps_what_came(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    where = await begin(api, folder, "a", 1_000_000)
    more = asyncio.Event()

    async def slowly() -> Any:
        yield b"x" * 1000
        await more.wait()
        yield b"y"

    writer = asyncio.create_task(api.admin.http.patch(where, content=slowly(), headers={**PART, "Upload-Offset": "0"}))

    async def arrived() -> bool:
        return await offset(api, where) == 1000

    await eventually(arrived)
    await patch(api, where, 1000, b"z", expect=423)
    answer = await api.admin.http.delete(where, headers=TUS)
    assert answer.status_code == 423
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)

    async def goes_on() -> bool:
        answer = await api.admin.http.patch(where, content=b"z", headers={**PART, "Upload-Offset": "1000"})
        return answer.status_code == 204

    await eventually(goes_on)
    assert await offset(api, where) == 1001


async def test_a_wrong_digest_is_refused_and_forgotten(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    where = await begin(api, folder, "a", 3, sha256=hashlib.sha256(b"abc").hexdigest())
    problem = (await patch(api, where, 0, b"abd", expect=460)).json()
    assert problem["type"].endswith("checksum-mismatch")
    assert (await api.admin.http.head(where, headers=TUS)).status_code == 404
    assert not (api.folders / folder / "a").exists()
    await begin(api, folder, "a", 3, expect=400, sha256="nonsense")


@pytest.mark.parametrize("encoding", ["deflate", "gzip", "br", "GZIP, identity"])
async def test_a_compressed_body_is_refused_and_never_unpacked(api: ManagerApi, encoding: str) -> None:
    folder = await api.admin.folder("m", {})
    where = await begin(api, folder, "a", 10_000_000)
    small = zlib.compress(bytes(10_000_000))
    compressed = {"Content-Encoding": encoding}
    metadata_of_b = {"Upload-Length": "10000000", "Upload-Metadata": metadata("b")}
    for answer in (
        await api.admin.http.patch(where, content=small, headers={**PART, **compressed, "Upload-Offset": "0"}),
        await api.admin.http.post(
            f"/v1/folders/{folder}/uploads", content=small, headers={**PART, **compressed, **metadata_of_b}
        ),
        await api.admin.http.post(
            "/v1/folders", content=small, headers={**compressed, "Content-Type": "application/json"}
        ),
    ):
        assert answer.status_code == 415, answer.text
        assert answer.json()["errors"] == [
            {"field": "Content-Encoding", "found": encoding.lower(), "allowed": "identity (no compression)"}
        ]
    assert await offset(api, where) == 0
    answer = await api.admin.http.patch(
        where, content=b"xyz", headers={**PART, "Content-Encoding": "identity", "Upload-Offset": "0"}
    )
    assert answer.headers["Upload-Offset"] == "3"


async def test_creation_with_upload_and_empty_files(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {})
    answer = await api.admin.http.post(
        f"/v1/folders/{folder}/uploads",
        content=b"abc",
        headers={**PART, "Upload-Length": "3", "Upload-Metadata": metadata("a")},
    )
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "3")
    await begin(api, folder, "empty", 0)
    assert (api.folders / folder / "a").read_bytes() == b"abc"
    assert (api.folders / folder / "empty").read_bytes() == b""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/.",
        "a\\b",
        "a\nb",
        "a\x00b",
        "x" * 256,
        "a/" * 101 + "b",
        "é" * 2049,
    ],
)
async def test_paths_that_lead_elsewhere_are_refused(api: ManagerApi, path: str) -> None:
    folder = await api.admin.folder("m", {"a": b"1"})
    await begin(api, folder, path, 1, expect=400)
    for method in ("GET", "DELETE"):
        answer = await api.admin.http.request(
            method,
            httpx.URL(f"{api.url}/v1/folders/{folder}/files/").copy_with(
                raw_path=f"/v1/folders/{folder}/files/".encode() + "".join(f"%{b:02x}" for b in path.encode()).encode()
            ),
        )
        assert answer.status_code in (400, 404, 405), (method, answer.text)
    assert {p.name for p in api.folders.iterdir()} == {folder, ".uploads", ".snapshots"}
    assert {p.name for p in (api.folders / folder).iterdir()} == {"a"}


async def test_links_do_not_lead_out(api: ManagerApi, tmp_path: Path) -> None:
    folder = await api.admin.folder("m", {"real": b"1"})
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("s3cret")
    root = api.folders / folder
    (root / "out").symlink_to(secret)
    (root / "file").symlink_to(secret / "key")
    http = api.admin.http
    for path in ("out/key", "file", "out"):
        answer = await http.get(f"/v1/folders/{folder}/files/{path}")
        assert answer.status_code == 409, path
        assert "s3cret" not in answer.text
    await begin(api, folder, "out/new", 1, expect=409)
    listed = await api.admin.call("GET", f"/v1/folders/{folder}/files?recursive=true")
    assert [item["path"] for item in listed["items"]] == ["real"]
    assert (await http.get(f"/v1/folders/{folder}/files?path=out")).status_code == 409
    await api.admin.call("DELETE", f"/v1/folders/{folder}/files/out")
    await api.admin.call("DELETE", f"/v1/folders/{folder}")
    assert (secret / "key").read_text() == "s3cret"
    assert [p.name for p in secret.iterdir()] == ["key"]


async def test_browse_download_replace_delete(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"b.txt": b"0123456789", "d/x": b"1", "d/e/y": b"22", "ü ?#.txt": b"odd"})
    listed = (await api.admin.call("GET", f"/v1/folders/{folder}/files"))["items"]
    assert [(item["path"], item["kind"], item["size_bytes"]) for item in listed] == [
        ("b.txt", "file", 10),
        ("d", "directory", 0),
        ("ü ?#.txt", "file", 3),
    ]
    everything = (await api.admin.call("GET", f"/v1/folders/{folder}/files?recursive=1&limit=2"))["items"]
    assert [item["path"] for item in everything] == ["b.txt", "d"]
    rest = await api.admin.call("GET", f"/v1/folders/{folder}/files?recursive=1&limit=2&cursor=d")
    assert [item["path"] for item in rest["items"]] == ["d/e", "d/e/y"]
    assert rest["next"] == "d/e/y"
    below = (await api.admin.call("GET", f"/v1/folders/{folder}/files?path=d"))["items"]
    assert [item["path"] for item in below] == ["d/e", "d/x"]
    http, url = api.admin.http, f"/v1/folders/{folder}/files"
    whole = await http.get(f"{url}/b.txt")
    assert (whole.status_code, whole.content, whole.headers["Accept-Ranges"]) == (200, b"0123456789", "bytes")
    assert (await http.get(f"{url}/%C3%BC%20%3F%23.txt")).content == b"odd"
    for wanted, content, where in (
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
    ):
        part = await http.get(f"{url}/b.txt", headers={"Range": wanted})
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, content, where)
    past = await http.get(f"{url}/b.txt", headers={"Range": "bytes=10-"})
    assert (past.status_code, past.headers["Content-Range"]) == (416, "bytes */10")
    assert (await http.get(f"{url}/b.txt", headers={"Range": "bytes=2-4", "If-Range": '"other"'})).status_code == 200
    await api.admin.upload(folder, "b.txt", b"new")
    assert (await http.get(f"{url}/b.txt")).content == b"new"
    assert (await http.get(f"{url}/d")).status_code == 409
    assert (await http.get(f"{url}/none")).status_code == 404
    await begin(api, folder, "b.txt/below", 1, expect=409)
    await begin(api, folder, "d", 1, expect=409)
    where = await begin(api, folder, "later", 1)
    (api.folders / folder / "later").mkdir()
    await patch(api, where, 0, b"x", expect=409)
    assert (await http.head(where, headers=TUS)).status_code == 404, "no later part could help"
    await api.admin.call("DELETE", f"{url}/later")
    await api.admin.call("DELETE", f"{url}/d")
    assert [item["path"] for item in (await api.admin.call("GET", url))["items"]] == ["b.txt", "ü ?#.txt"]


async def test_folders_belong_to_projects_and_stay_while_needed(api: ManagerApi) -> None:
    first = await api.admin.folder("m", {"f": b"1"})
    await api.admin.call("POST", "/v1/folders", {"name": "m"}, expect=409)
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    await api.admin.call("POST", "/v1/folders", {"name": "m"}, expect=400)
    second = await api.admin.folder("m", {}, project="other")
    problem = await api.admin.call("GET", "/v1/folders/m", expect=400)
    assert problem["errors"][0]["field"] == "project"
    assert (await api.admin.call("GET", "/v1/folders/m?project=other"))["id"] == second
    assert (await api.admin.call("GET", "/v1/folders?project=default&usage_mode=model"))["items"][0]["id"] == first
    assert (await api.admin.call("GET", "/v1/folders?usage_mode=data"))["items"] == []
    body = {"name": "uses", "runtime": "cmd", "folder": "m", "project": "default", "replicas": 0}
    await api.admin.call("POST", "/v1/services", body)
    problem = await api.admin.call("DELETE", f"/v1/folders/{first}", expect=409)
    assert "uses" in problem["detail"]
    await api.admin.call("DELETE", "/v1/services/uses", expect=204)
    where = await begin(api, first, "half", 5)
    await api.admin.call("DELETE", f"/v1/folders/{first}", expect=204)
    assert not (api.folders / first).exists()
    assert list((api.folders / ".uploads").iterdir()) == []
    assert (await api.admin.http.head(where, headers=TUS)).status_code == 404
    await api.admin.call("GET", f"/v1/folders/{first}", expect=404)
    await api.admin.call("DELETE", "/v1/projects/other", expect=409)
    await api.admin.call("DELETE", f"/v1/folders/{second}", expect=204)
    await api.admin.call("DELETE", "/v1/projects/other", expect=204)
    await api.admin.call("POST", "/v1/projects", {"name": "other"})


async def test_a_start_cleans_up(pool: Pool, tmp_path: Path) -> None:
    async with serving(pool, tmp_path) as api:
        folder, gone = await api.admin.folder("m", {}), await api.admin.folder("gone", {"f": b"1"})
        old, lost, fresh = [await begin(api, folder, name, 5) for name in ("old", "lost", "fresh")]
        os.utime(api.folders / ".uploads" / old.rpartition("/")[2], (1, 1))
        (api.folders / ".uploads" / lost.rpartition("/")[2]).unlink()
        await pool.execute("update uploads set created_at = now() - interval '3 days'")
        await pool.execute("update folders set deleted_at = now() where name = 'gone'")
        await api.use.clean()
        assert not (api.folders / gone).exists()
        assert (await api.admin.http.head(old, headers=TUS)).status_code == 404
        assert await offset(api, fresh) == 0
        assert await pool.fetchval("select count(*) from uploads") == 1
        (api.folders / folder).rename(api.folders / "elsewhere")
        (api.folders / ".uploads").rename(api.folders / "uploads-elsewhere")
        await api.use.clean()
