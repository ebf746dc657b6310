"""Server of models: a hub that speaks Hugging Face's protocol, and files by HTTP with ranges and entity tags."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

LARGE = 1000
"""Files of so many bytes are stored as large ones (LFS), and served after a redirect."""
PAGE = 2
"""Entries of a page of a listing."""


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class FakeModelSource:
    """What it serves and how; a test changes that while it runs."""

    url: str = ""
    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    """Content by repository, commit and path."""
    branches: dict[str, str] = field(default_factory=dict)
    """Commit of each branch, of any repository."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path, below /files/."""
    token: str = ""
    """Where it is set, nothing is served without it."""
    breaks_after: int | None = None
    """Connections break after so many bytes of a body."""
    spoiled: bool = False
    """The last byte of bodies is another one."""
    cdn_url: str = ""
    """Where large files of repositories redirect to, if to another server."""
    moved_to: str = ""
    """Where /files/moved redirects to."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Bodies wait for it before they are sent."""
    served_bytes: int = 0
    ranges: list[str] = field(default_factory=list)
    """Range headers of requests for bodies that were continued."""
    credentials: list[str] = field(default_factory=list)

    def commit(self, repo: str, commit: str, files: dict[str, bytes], *, branch: str = "main") -> None:
        """Add a commit, and let the branch point to it."""
        self.repos.setdefault(repo, {})[commit] = files
        self.branches[branch] = commit

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/models/{org}/{name}/revision/{revision:.+}", self._revision)
        app.router.add_get("/api/models/{org}/{name}/tree/{commit}", self._tree)
        app.router.add_get("/{org}/{name}/resolve/{commit}/{path:.+}", self._resolve)
        app.router.add_get("/files/moved", self._moved)
        app.router.add_get("/files/{path:.+}", self._file)
        app.router.add_get("/cdn/{repo:[^/]+/[^/]+}/{commit}/{path:.+}", self._cdn)
        return app

    def _check(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        self.credentials.append(given)
        if self.token and given != f"Bearer {self.token}":
            raise web.HTTPUnauthorized

    def _repo(self, request: web.Request) -> tuple[str, dict[str, dict[str, bytes]]]:
        repo = f"{request.match_info['org']}/{request.match_info['name']}"
        if repo not in self.repos:
            raise web.HTTPNotFound
        return repo, self.repos[repo]

    async def _revision(self, request: web.Request) -> web.Response:
        self._check(request)
        _, commits = self._repo(request)
        revision = request.match_info["revision"]
        commit = self.branches.get(revision, revision)
        if commit not in commits:
            raise web.HTTPNotFound
        return web.json_response({"sha": commit, "siblings": []})

    async def _tree(self, request: web.Request) -> web.Response:
        self._check(request)
        repo, commits = self._repo(request)
        files = sorted(commits[request.match_info["commit"]].items())
        at = int(request.query.get("cursor", "0"))
        rows = [
            {"type": "directory", "path": path.rpartition("/")[0], "oid": "", "size": 0}
            for path, _ in files
            if "/" in path
        ]
        for path, content in files[at : at + PAGE]:
            large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
            more = {"lfs": large} if len(content) >= LARGE else {}
            rows.append({"type": "file", "path": path, "oid": git_sha1(content), "size": len(content), **more})
        headers = {}
        if at + PAGE < len(files):
            url = f"{self.url}/api/models/{repo}/tree/{request.match_info['commit']}?recursive=true&cursor={at + PAGE}"
            headers["Link"] = f'<{url}>; rel="next"'
        return web.json_response(rows, headers=headers)

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        repo, commits = self._repo(request)
        commit, path = request.match_info["commit"], request.match_info["path"]
        content = commits[commit][path]
        if len(content) >= LARGE:
            linked = {
                "X-Linked-Size": str(len(content)),
                "X-Repo-Commit": commit,
                "Location": f"{self.cdn_url}/cdn/{repo}/{commit}/{path}",
            }
            return web.Response(status=302, headers=linked)
        return await self._send(request, content, f'"{git_sha1(content)}"')

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        self.credentials.append(request.headers.get("Authorization", ""))
        content = self.repos[request.match_info["repo"]][request.match_info["commit"]][request.match_info["path"]]
        return await self._send(request, content, '"cdn"')

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        content = self.files.get(request.match_info["path"])
        if content is None:
            raise web.HTTPNotFound
        return await self._send(request, content, f'"{hashlib.sha256(content).hexdigest()[:16]}"')

    async def _moved(self, _: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": self.moved_to})

    async def _send(self, request: web.Request, content: bytes, tag: str) -> web.StreamResponse:
        if request.headers.get("If-Match", tag) != tag:
            raise web.HTTPPreconditionFailed
        headers, status, asked = {"ETag": tag}, 200, request.headers.get("Range", "")
        probing = asked == "bytes=0-0"
        if asked:
            begin, _, end = asked.removeprefix("bytes=").partition("-")
            last = int(end) if end else len(content) - 1
            headers["Content-Range"] = f"bytes {begin}-{last}/{len(content)}"
            content, status = content[int(begin) : last + 1], 206
            if not probing:
                self.ranges.append(asked)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        if not probing:
            await self.gate.wait()
            if self.spoiled and content:
                content = content[:-1] + bytes([content[-1] ^ 1])
        if self.breaks_after is not None and len(content) > self.breaks_after:
            self.served_bytes += self.breaks_after
            await response.write(content[: self.breaks_after])
            assert request.transport is not None
            request.transport.close()
            return response
        self.served_bytes += 0 if probing else len(content)
        await response.write(content)
        await response.write_eof()
        return response


@asynccontextmanager
async def serving_models(port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeModelSource]:
    """Serve until left."""
    source = FakeModelSource(url=f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    source.gate.set()
    runner = web.AppRunner(source.app(), shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        yield source
    finally:
        await runner.cleanup()
