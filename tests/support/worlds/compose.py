"""Compose project: an installation as containers, as an operator runs it, with images built on the spot."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

COMPOSE: Final = Path(sys.executable).with_name("docker-compose")
_OVERRIDE: Final = """
# Replica ports are closed to all but the machine, on which the app-proxy is: nothing starts unless the agent may do that.
services:
  postgres: {{image: "{servers}", entrypoint: [postgres-entrypoint]}}
  nats: {{image: "{servers}"}}
  valkey: {{image: "{servers}"}}
  api: {{image: "{servers}"}}
  agent: {{environment: {{HEADRACE_AGENT_REPLICA_PORTS_FROM: '["192.0.2.7"]'}}}}
  prometheus: {{image: "{servers}"}}
"""


class ComposeProject:
    """The project in `folder`, which `headrace init` has made, under a name of its own."""

    def __init__(self, folder: Path, name: str, *, servers: str, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.name = name
        self._environ = {**os.environ, "COMPOSE_PROJECT_NAME": name, **environ}
        (folder / "compose.override.yaml").write_text(_OVERRIDE.format(servers=servers))

    async def up(self, *words: str) -> None:
        """`docker compose up -d --wait`. AssertionError with the logs if it fails."""
        status, out = await self._run(str(COMPOSE), "up", "-d", "--wait", "--pull", "never", *words, within_s=240)
        if status != 0:
            _, logs = await self._run(str(COMPOSE), "logs", "--tail", "40", within_s=60)
            raise AssertionError(f"{out[-3000:]}\n{logs[-12000:]}")

    async def down(self) -> None:
        """Remove containers, networks and volumes."""
        await self._run(str(COMPOSE), "down", "-v", "--timeout", "10", within_s=180)

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.name}-{service}-1"

    async def docker(self, *words: str) -> str:
        """Run a command of docker and return its output. AssertionError if it fails."""
        status, out = await self._run("docker", *words, within_s=120)
        assert status == 0, out
        return out

    async def state(self, service: str) -> dict[str, Any]:
        """Return what the engine says of a service's container."""
        found = json.loads(await self.docker("container", "inspect", self.container(service)))[0]
        return dict(found)

    async def crash(self, service: str, *, image: str) -> None:
        """Kill a container's first process as the kernel would: `docker kill` counts as stopped by somebody, and is not restarted.

        `image`: any with a shell.
        """
        pid = (await self.state(service))["State"]["Pid"]
        command = ("run", "--rm", "--pid=host", "--network=none", "--entrypoint", "/bin/sh", "-u", "0", image)
        await self.docker(*command, "-c", f"kill -9 {pid}")

    async def healthy(self, service: str) -> bool:
        """Whether the container runs, and its health check passed."""
        state = (await self.state(service))["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    async def _run(self, *command: str, within_s: float) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        async with asyncio.timeout(within_s):
            out, _ = await process.communicate()
        return process.returncode or 0, out.decode(errors="replace")
