"""Image registry (OCI distribution API) with one private image: who asks needs a name and a password."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class PrivateRegistry:
    """Registry at `name`; `asked`: the credentials of requests, as they came."""

    name: str
    login: str
    """NAME:PASSWORD that it takes."""
    blobs: dict[str, bytes]
    manifest: bytes
    asked: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request of the distribution API."""
        given = request.headers.get("Authorization", "")
        self.asked.add(given)
        if given != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="private"'})
        kind, _, digest = request.path.rpartition("/")
        if kind.endswith("/manifests"):
            headers = {"Docker-Content-Digest": _digest(self.manifest), "Content-Type": _MANIFEST}
            return web.Response(body=self.manifest, headers=headers)
        if digest in self.blobs:
            return web.Response(body=self.blobs[digest])
        return web.Response(status=200 if request.path == "/v2/" else 404)


@asynccontextmanager
async def private_registry(port: int, image: str, *, login: str) -> AsyncIterator[PrivateRegistry]:
    """Serve an image of the engine at 127.0.0.1 for as long as the context lasts."""
    saved = subprocess.run(["docker", "save", image], check=True, capture_output=True, timeout=60).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    (listed,) = json.loads(files["manifest.json"])
    config, layers = files[listed["Config"]], [gzip.compress(files[name], mtime=0) for name in listed["Layers"]]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer) for layer in layers],
    }
    blobs = {_digest(blob): blob for blob in (config, *layers)}
    registry = PrivateRegistry(f"127.0.0.1:{port}", login, blobs, json.dumps(manifest).encode())
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield registry
    finally:
        await runner.cleanup()


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(blob), "digest": _digest(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"
