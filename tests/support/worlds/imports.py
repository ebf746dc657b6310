"""Managers that import models, beside an API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headrace.common.bus.connect import Bus
from headrace.common.db.pool import Pool
from headrace.manager.folders.storage import open_storage
from headrace.manager.wiring import Edges, Manager, make_manager
from tests.support.factories.settings import manager_settings

ANY_SOURCE: dict[str, Any] = {"model_uri_schemes": ("hf", "https", "http"), "model_uri_networks": ("127.0.0.0/8",)}
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
