"""Managers that import models, beside an API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.manifest import snapshot_files
from headrace.common.db.pool import Pool
from headrace.manager.folders.storage import open_storage
from headrace.manager.wiring import Manager, make_manager
from headrace.manager.wiring_edges import Edges
from tests.support.factories.settings import manager_settings
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

ANY_SOURCE: dict[str, Any] = {
    "model_uri_schemes": ("hf", "https", "s3", "http"),
    "model_uri_networks": ("127.0.0.0/8",),
}
"""Settings of managers whose sources are the test's own."""


@asynccontextmanager
async def importing(pool: Pool, root: Path, **settings: Any) -> AsyncIterator[Manager]:
    """Import as a manager does, until left; its other loops are run by the test, pass by pass."""
    known = manager_settings(root, **({"storage_reserve_bytes": 2**20} | ANY_SOURCE | settings))
    with open_storage(known.folders_root, reserve_bytes=known.storage_reserve_bytes) as storage:
        manager = make_manager(known, Edges(pool, Bus(), storage))
        running = asyncio.create_task(manager.imports.run())
        try:
            yield manager
        finally:
            manager.imports.stop()
            await running


def uri_service(uri: str, name: str = "chat", **more: Any) -> dict[str, Any]:
    """Return the body of a create for a service of this model."""
    return {"name": name, "runtime": "vllm", "model_uri": uri, "slots": {"cpu": 1, "mem": "1g"}, **more}


async def imported(api: ManagerApi, name: str = "chat", *, within_s: float = 60) -> Any:
    """Wait until the service's model is imported; return the service."""

    async def done() -> Any:
        seen = await api.admin.service(name)
        assert seen["model_import"]["state"] == "done", seen["model_import"]
        return seen["effective"]["mounts"][0]["snapshot_id"] and seen

    return await eventually(done, within_s=within_s)


def files_of(api: ManagerApi, service: Any) -> dict[str, bytes]:
    """Return the files that the replicas of the current revision see."""
    mount = service["effective"]["mounts"][0]
    below = api.folders / snapshot_files(FolderId(UUID(mount["folder_id"])), mount["snapshot_id"])
    return {str(path.relative_to(below)): path.read_bytes() for path in below.rglob("*") if path.is_file()}
