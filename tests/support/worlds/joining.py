"""A manager that machines can join, on a NATS with the files of `headrace init` and a real database."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.credentials import credentials_file
from headrace.common.bus.identities import new_seed, public_key
from headrace.common.db.pool import Pool
from headrace.common.runtime.service import run_tasks
from headrace.manager.folders.storage import open_storage
from headrace.manager.settings import secret_bytes
from headrace.manager.signing import Vault
from headrace.manager.usecases.bootstrap import bootstrap
from headrace.manager.usecases.tokens import SigningKeys
from headrace.manager.wiring import make_manager
from headrace.manager.wiring_edges import Edges
from tests.support.api import Api
from tests.support.factories.settings import manager_settings
from tests.support.wait import eventually
from tests.support.worlds.installation import Ports, installed, nats_running, on_this_machine


@dataclass
class Joinable:
    """Running installation: its files, its managers' API and its NATS."""

    folder: Path
    data: Path
    ports: Ports
    admin: Api
    pool: Pool
    nats: ExitStack

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.ports.api}"

    def restart_nats(self) -> None:
        """Stop NATS, and start it again on its files."""
        self.nats.close()
        self.nats.enter_context(nats_running(self.folder, self.data))

    def login(self, name: str, credentials: Path) -> Login:
        url = f"tls://127.0.0.1:{self.ports.nats}"
        return Login(url, name, "", name, credentials=credentials, ca_file=self.folder / "tls/ca.crt")

    async def token(self, kind: str = "agent", **changes: Any) -> str:
        """Make a join token and return it."""
        return str((await self.admin.call("POST", "/v1/join-tokens", {"kind": kind, **changes}))["token"])

    async def joined(self, name: str, kind: str = "agent", **changes: Any) -> Login:
        """Join with a key of its own and a new token; return how to log in."""
        seed = new_seed("user")
        request = {
            "token": await self.token(kind, **changes),
            "kind": kind,
            "name": name,
            "public_key": public_key(seed),
        }
        answer = await self.admin.call("POST", "/v1/join", request)
        file = self.data / f"{name}-{seed[-8:]}.creds"
        file.write_text(credentials_file(answer["identity"]["token"], seed))
        return self.login(name, file)


@asynccontextmanager
async def manager_running(world: Joinable, **settings: Any) -> AsyncIterator[None]:
    """Run a manager with its API on the world's files."""
    folder = world.folder
    usual: dict[str, Any] = {
        "nats_url": f"tls://127.0.0.1:{world.ports.nats}",
        "nats_credentials": folder / "bus/manager.creds",
        "ca_file": folder / "tls/ca.crt",
        "bus_signing_file": folder / "bus/signing.json",
        "public_url": world.url,
        "tls_certificate": folder / "tls/api.crt",
        "tls_key": folder / "tls/api.key",
        "admin_key_file": folder / "admin.key",
        "listen_port": world.ports.api,
        "reconcile_every": timedelta(seconds=0.5),
    }
    known = manager_settings(world.data, **(usual | settings))
    vault = Vault(secret_bytes(known))
    await bootstrap(world.pool, vault, SigningKeys(vault), known.admin_key_file)
    with open_storage(known.folders_root, reserve_bytes=known.storage_reserve_bytes) as storage:
        bus, stop = Bus(), asyncio.Event()
        manager = make_manager(known, Edges(world.pool, bus, storage))
        running = asyncio.create_task(run_tasks(manager.tasks, stop))
        try:
            assert await eventually(lambda: manager.inbox.check() is None and manager.api.started.is_set())
            yield
        finally:
            stop.set()
            await running
            await bus.close()


def program(file: Path, content: str) -> None:
    """Write a program, as of a new machine's PATH."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(0o755)


async def run_line(
    line: str, programs: Path, *, within_s: float = 120, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the line of a join token in a shell which finds `programs` first, and whose `sudo` is no other user."""
    program(programs / "sudo", '#!/bin/sh\nexec "$@"\n')
    known = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **environ}
    return await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line], env=known, capture_output=True, text=True, timeout=within_s, check=False
    )


@asynccontextmanager
async def joinable(pool: Pool, root: Path, *agents: str, **settings: Any) -> AsyncIterator[Joinable]:
    """Run NATS and a manager on the files of a new installation. `settings`: of the manager."""
    ports = Ports()
    folder = installed(root / "etc", on_this_machine(ports, root / "data", *agents))
    with ExitStack() as nats:
        nats.enter_context(nats_running(folder, root / "data"))
        admin = Api(f"https://127.0.0.1:{ports.api}", (folder / "admin.key").read_text().strip())
        world = Joinable(folder, root / "data", ports, admin, pool, nats)
        try:
            async with manager_running(world, **settings):
                yield world
        finally:
            await admin.close()
