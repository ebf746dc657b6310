"""HTTP client for the public API, without the SDK."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from tests.support.wait import eventually

TUS = {"Tus-Resumable": "1.0.0"}


class Api:
    """Caller with one API key. `check`: is awaited with each answer."""

    def __init__(self, url: str, key: str, *, check: Callable[[httpx.Response], Awaitable[None]] | None = None) -> None:
        self.url = url
        self.key = key
        self.http = httpx.AsyncClient(
            verify=False,
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            event_hooks={"response": [] if check is None else [check]},
        )

    async def call(
        self, method: str, path: str, body: object = None, *, expect: int | tuple[int, ...] = (200, 201, 202, 204)
    ) -> Any:
        """Return the JSON answer (None when empty). AssertionError with the problem for an unexpected status."""
        answer = (
            await self.http.request(method, path, json=body)
            if body is not None
            else await self.http.request(method, path)
        )
        wanted = (expect,) if isinstance(expect, int) else expect
        assert answer.status_code in wanted, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def upload(self, folder: str, path: str, content: bytes) -> None:
        """Upload one file by tus."""
        name = base64.b64encode(path.encode()).decode()
        created = await self.http.post(
            f"/v1/folders/{folder}/uploads",
            headers={**TUS, "Upload-Length": str(len(content)), "Upload-Metadata": f"path {name}"},
        )
        assert created.status_code == 201, created.text
        location = created.headers["Location"]
        if content:
            patched = await self.http.patch(
                location,
                content=content,
                headers={**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
            )
            assert patched.status_code == 204, patched.text

    async def folder(
        self, name: str, files: dict[str, bytes | str], *, usage_mode: str = "model", project: str = "default"
    ) -> str:
        """Create a folder with these files and return its id."""
        made = await self.call("POST", "/v1/folders", {"name": name, "project": project, "usage_mode": usage_mode})
        for path, content in files.items():
            await self.upload(made["id"], path, content.encode() if isinstance(content, str) else content)
        return str(made["id"])

    async def folder_from(self, name: str, source: Path, *, project: str = "default") -> str:
        """Create a folder with all files below `source`."""
        files = {str(p.relative_to(source)): p.read_bytes() for p in sorted(source.rglob("*")) if p.is_file()}
        return await self.folder(name, dict(files), project=project)

    async def service(self, name: str) -> Any:
        """Return the service's detail."""
        return await self.call("GET", f"/v1/services/{name}")

    async def until_healthy(self, name: str, *, replicas: int | None = None, within_s: float = 60) -> Any:
        """Wait until the service is healthy with all wanted replicas and nothing else."""

        async def probe() -> Any:
            seen = await self.service(name)
            live = [r for r in seen["replica_list"] if r["status"] != "ended"]
            assert seen["status"] == "healthy", json.dumps(seen["reason"]) + json.dumps(seen["errors"])
            assert replicas is None or (len(live) == replicas == seen["healthy_replicas"]), [
                (r["status"], r["health"]) for r in live
            ]
            return seen

        return await eventually(probe, within_s=within_s, every_s=0.1, what=f"{name} healthy")

    async def remove(self, name: str, *, within_s: float = 60) -> None:
        """Delete a service and wait until it is gone."""
        await self.call("DELETE", f"/v1/services/{name}")

        async def gone() -> bool:
            return (await self.http.get(f"/v1/services/{name}")).status_code == 404

        await eventually(gone, within_s=within_s, what=f"{name} gone")

    async def token(self, name: str, **body: object) -> dict[str, Any]:
        """Return a new token of the service: {id, token, …}."""
        return dict(await self.call("POST", f"/v1/services/{name}/tokens", body or {}))

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()
