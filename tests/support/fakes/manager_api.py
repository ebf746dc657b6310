"""Fake of the manager's REST API on a real socket, in a thread, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import tarfile
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.wait import eventually

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = "hr_00000000000000000000000000000001_secret"
NOW = "2026-01-01T12:00:00Z"
MODIFIED = 1_767_268_800
"""The same, when the files there were changed."""


def uid(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


def problem(kind: str, status: int, **extra: Any) -> web.Response:
    document = {
        "type": f"urn:headrace:problem:{kind}",
        "title": kind.title(),
        "status": status,
        "detail": f"it is {kind}",
        "request_id": "r1",
    }
    return web.json_response(document | extra, status=status, content_type="application/problem+json")


def service_view(
    name: str = "echo", *, status: str = "unhealthy", phase: str = "deploying", **changes: Any
) -> dict[str, Any]:
    return {
        "id": uid(1),
        "name": name,
        "project_id": uid(2),
        "project": "default",
        "description": "",
        "status": status,
        "phase": phase,
        "reason": {"code": "starting", "text": f"it is {phase}"},
        "replicas": 1,
        "healthy_replicas": 0,
        "open_to_public": False,
        "endpoint": "http://proxy/echo",
        "fleet_endpoint": "http://proxy/v1",
        "example": "curl …",
        "resource_group": "default",
        "revision": 1,
        "runtime": "custom",
        "image": None,
        "folder_id": None,
        "slots": {"cpu": "1"},
        "metadata": {},
        "tags": [],
        "drain_grace_s": 60,
        "created_by": "admin",
        "created_at": NOW,
        "updated_at": NOW,
        "replica_list": [],
        "errors": [],
        **changes,
    }


@dataclass
class Upload:
    length: int
    path: str
    sha256: str
    content: bytearray = field(default_factory=bytearray)


@dataclass
class FakeManagerApi:
    """Records requests. `faults` are consumed one per upload PATCH or download."""

    url: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: dict[tuple[str, str], deque[Callable[[], web.Response]]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    faults: deque[str] = field(default_factory=deque)
    log_lines: list[bytes] = field(default_factory=list)
    log_closed: threading.Event = field(default_factory=threading.Event)
    tag: str = '"1"'
    directories: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    """Paths that uploads do not take, and what is found there."""

    def on(self, method: str, path: str, *answers: Any, status: int = 200) -> None:
        """Answer with these documents in turn, the last one for ever. A callable makes a response."""
        made = [a if callable(a) else (lambda a=a: web.json_response(a, status=status)) for a in answers]
        self.answers[method, path] = deque(made)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path_qs))
        self.headers.append(dict(request.headers))
        if request.headers.get("Authorization") != f"Bearer {KEY}" and not request.path.startswith("/console/"):
            return problem("unauthenticated", 401)
        parts = request.path.strip("/").split("/")
        if parts[1:2] == ["folders"] and "uploads" in parts:
            return await self.tus(request, parts)
        if parts[1:2] == ["folders"] and parts[3:] == ["archive"]:
            return await self.archive(request)
        if parts[1:2] == ["folders"] and parts[3:] == ["archive", "selection"]:
            return await self.selection(request)
        if parts[1:2] == ["folders"] and "files" in parts and len(parts) > 4 and request.method == "GET":
            return await self.download(request, request.path.split("/files/", 1)[1])
        if request.path.endswith("/logs"):
            return await self.logs(request)
        if request.can_read_body:
            octets = request.content_type == "application/octet-stream"
            self.bodies.append(await request.read() if octets else await request.json())
        waiting = self.answers.get((request.method, request.path))
        if waiting is None and parts[3:] == ["files"]:
            rows = [
                {"path": p, "kind": "file", "size_bytes": len(c), "modified_at": NOW} for p, c in self.files.items()
            ]
            return web.json_response({"items": rows, "next": None})
        if waiting is None:
            return problem("not-found", 404)
        return (waiting.popleft() if len(waiting) > 1 else waiting[0])()

    async def archive(self, request: web.Request) -> web.StreamResponse:
        """Receive a tar archive. Faults: a status, or `after` (the answer is lost)."""
        fault = self.faults.popleft() if self.faults else ""
        if fault.isdigit():
            return problem("unavailable", int(fault))
        receipt: dict[str, Any] = {"files": 0, "directories": 0, "bytes": 0, "refused_count": 0, "refused": []}
        with tarfile.open(fileobj=io.BytesIO(await request.read()), mode="r:") as archive:
            for entry in archive:
                if entry.name in self.refused:
                    row = {"path": entry.name, "found": self.refused[entry.name], "allowed": "something else"}
                    receipt["refused"].append(row)
                    receipt["refused_count"] += 1
                elif entry.isdir():
                    self.directories.add(entry.name)
                else:
                    content = archive.extractfile(entry).read()  # type: ignore[union-attr]
                    assert hashlib.sha256(content).hexdigest() == entry.pax_headers["HEADRACE.sha256"]
                    self.files[entry.name] = content
        if fault:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(receipt)

    async def selection(self, request: web.Request) -> web.StreamResponse:
        """Send a tar archive. Faults: a status, `after` (half of it is sent), `foreign` (with a file that was not requested)."""
        fault = self.faults.popleft() if self.faults else ""
        if fault.isdigit():
            return problem("unavailable", int(fault))
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
            paths = (await request.json())["paths"]
            self.bodies.append(paths)
            for path in [*paths, *(["../../out", "not-asked-for"] if fault == "foreign" else [])]:
                content = self.files.get(path, b"foreign" if fault == "foreign" else None)
                if content is not None:
                    entry = tarfile.TarInfo(path)
                    entry.size, entry.mtime = len(content), MODIFIED
                    entry.pax_headers = {"HEADRACE.sha256": hashlib.sha256(content).hexdigest()}
                    archive.addfile(entry, io.BytesIO(content))
        response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
        await response.prepare(request)
        await response.write(made.getvalue()[: 600 if fault == "after" else None])
        if fault == "after":
            assert request.transport is not None
            request.transport.abort()
        return response

    async def tus(self, request: web.Request, parts: list[str]) -> web.StreamResponse:
        if request.method == "GET":
            rows = [
                {
                    "id": key,
                    "path": one.path,
                    "size_bytes": one.length,
                    "received_bytes": len(one.content),
                    "created_by": "admin",
                    "created_at": NOW,
                    "written_at": NOW,
                    "expires_at": NOW,
                }
                for key, one in self.uploads.items()
            ]
            return web.json_response({"items": rows, "next": None})
        assert request.headers["Tus-Resumable"] == "1.0.0"
        if request.method == "DELETE":
            return web.Response(status=204) if self.uploads.pop(parts[4], None) else problem("not-found", 404)
        if request.method == "POST":
            pairs = dict(pair.split(" ") for pair in request.headers["Upload-Metadata"].split(","))
            decoded = {key: base64.b64decode(value).decode() for key, value in pairs.items()}
            if decoded["path"] in self.refused:
                return problem("invalid-request", 400)
            made = Upload(int(request.headers["Upload-Length"]), decoded["path"], decoded["sha256"])
            upload_id = f"u{len(self.uploads)}"
            self.uploads[upload_id] = made
            self._finish(upload_id)
            return web.Response(
                status=201, headers={"Location": f"https://elsewhere.example/v1/folders/f/uploads/{upload_id}"}
            )
        upload = self.uploads.get(parts[4])
        if upload is None:
            return problem("not-found", 404)
        if request.method == "HEAD":
            return web.Response(
                headers={"Upload-Offset": str(len(upload.content)), "Upload-Length": str(upload.length)}
            )
        fault = self.faults.popleft() if self.faults else ""
        if fault.isdigit():
            return problem("unavailable" if fault == "503" else "locked", int(fault))
        if int(request.headers["Upload-Offset"]) != len(upload.content):
            return problem("conflict", 409)
        body = await request.read()
        upload.content += body[: len(body) // 2] if fault == "half" else body
        if fault not in {"half", "unfinished"}:
            self._finish(parts[4])
        if fault:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=204, headers={"Upload-Offset": str(len(upload.content))})

    def _finish(self, upload_id: str) -> None:
        upload = self.uploads[upload_id]
        if len(upload.content) == upload.length:
            assert hashlib.sha256(upload.content).hexdigest() == upload.sha256
            self.files[upload.path] = bytes(upload.content)
            del self.uploads[upload_id]
            self.uploads[f"done-{upload_id}"] = Upload(-1, "", "")

    async def download(self, request: web.Request, path: str) -> web.StreamResponse:
        if path not in self.files:
            return problem("not-found", 404)
        content, start = self.files[path], 0
        if "Range" in request.headers and request.headers.get("If-Range") == self.tag:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        fault = self.faults.popleft() if self.faults else ""
        response = web.StreamResponse(status=206 if start else 200, headers={"ETag": self.tag})
        response.content_length = len(content) - start
        if fault == "gzip":
            response.headers["Content-Encoding"] = fault
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        cut = fault in {"cut", "changed"}
        await response.write(content[start : start + (len(content) - start) // 2] if cut else content[start:])
        if cut:
            if fault == "changed":
                self.files[path], self.tag = content[::-1], '"2"'
            assert request.transport is not None
            transport = request.transport
            # The first half is on its way before the connection ends.
            await eventually(lambda: not transport.get_write_buffer_size(), every_s=0)
            request.transport.abort()
        return response

    async def logs(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        for piece in self.log_lines:
            await response.write(piece)
        if request.query.get("follow") == "true":
            try:
                while True:
                    await asyncio.sleep(0.02)
                    await response.write(b"more\n")
            finally:
                self.log_closed.set()
        return response


@contextmanager
def fake_manager_api() -> Iterator[FakeManagerApi]:
    """Run a FakeManagerApi while inside."""
    there = FakeManagerApi()
    started: Future[None] = Future()
    stop: Future[None] = Future()

    async def serve() -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{tail:.*}", there.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        there.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set_result(None)
        await asyncio.wrap_future(stop)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.result(10)
    try:
        yield there
    finally:
        stop.set_result(None)
        thread.join()
