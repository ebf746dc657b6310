"""Manager in a process of its own, on the caller's servers, for benchmarks over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from headrace.common.runtime.tls import client_context
from headrace.embedded.stack import EmbeddedServers
from tests.support.ports import free_port
from tests.support.wait import eventually

READY_S = 120.0


@dataclass(frozen=True)
class RunningManager:
    """URL, operator's API key, and process id of a running manager."""

    url: str
    key: str
    pid: int


@asynccontextmanager
async def running_manager(
    servers: EmbeddedServers, folder: Path, *, ca_file: Path | None = None, **settings: str
) -> AsyncIterator[RunningManager]:
    """Run a manager while inside; its data and log are in `folder`. `settings`: fields of its Settings, in capitals.

    `ca_file`: the authority of its certificate, if it has one by its settings.
    """
    port, key_file = free_port(), folder / "admin.key"
    given = {
        "DATABASE_URL": servers.database_url,
        "NATS_URL": servers.nats_url,
        "NATS_PASSWORD": servers.nats_user("manager")[1],
        "LISTEN_PORT": str(port),
        "FOLDERS_ROOT": str(folder / "folders"),
        "ADMIN_KEY_FILE": str(key_file),
        "SECRET_KEY": bytes(range(32)).hex(),
        "LOG_FORMAT": "json",
        **settings,
    }
    environ = {**os.environ, **{f"HEADRACE_MANAGER_{name}": value for name, value in given.items()}}
    with (folder / "manager.log").open("wb") as log:
        manager = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace.manager", stdout=log, stderr=log, env=environ
        )
    try:
        url = f"{'http' if ca_file is None else 'https'}://127.0.0.1:{port}"
        await eventually(lambda: _ready(url, ca_file), within_s=READY_S, every_s=0.2)
        yield RunningManager(url, key_file.read_text().strip(), manager.pid)
    finally:
        manager.terminate()
        await manager.wait()


async def _ready(url: str, ca_file: Path | None) -> bool:
    ssl = client_context(ca_file) if ca_file is not None else True
    try:
        async with aiohttp.ClientSession(url) as http, http.get("/readyz", ssl=ssl) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
