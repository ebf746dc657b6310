"""The line of `headrace agent join-token --docker` on a machine with a real engine, and the real image of the agent."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.common.db.pool import Pool
from tests.support import compose_images
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.joining import Joinable, joinable, run_line
from tests.support.worlds.operator import Operator
from tests.support.worlds.stack import ENGINE_DEFINITION

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.docker,
    pytest.mark.timeout(1800),  # of which the image's first build is all but a minute
]
TAG = f"join-{os.getpid()}"
IMAGE = f"{compose_images.PREFIX}agent:{TAG}"
CONTAINER = f"headrace-test-join-{os.getpid()}"
NAME = f"join-{os.getpid()}"


@dataclass(frozen=True)
class Machine:
    """New machine, which is this one, and an operator elsewhere."""

    installation: Joinable
    operator: Operator
    root: Path
    options: str

    async def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run the line with the machine's options."""
        return await run_line(line + self.options, self.root / "bin", within_s=400, HEADRACE_AGENT_CONTAINER=CONTAINER)

    async def alive(self) -> bool:
        """Whether the manager hears the agent."""
        found = json.loads(await self.operator.runs("agent", "ls", "--json"))
        return [(one["id"], one["status"]) for one in found] == [(NAME, "alive")]

    async def healthy(self) -> bool:
        """Whether the service's replica serves."""
        found = json.loads(await self.operator.runs("service", "show", "chat", "--json"))
        return [one["health"] for one in found["replica_list"]] == ["healthy"]


async def docker(*words: str, check: bool = True) -> str:
    """Run a command of docker and return its output."""
    ran = await asyncio.to_thread(
        subprocess.run, ["docker", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert not check or ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.fixture
async def machine(pool: Pool, tmp_path: Path) -> AsyncIterator[Machine]:
    await asyncio.to_thread(compose_images.build_own, TAG, "agent")
    root = tmp_path / "machine"
    options = f" --name {NAME} --admin-port {free_port()} --dir {root}/etc --data-dir {root}/data --address 127.0.0.1"
    networks = ["127.0.0.0/8"]
    try:
        async with joinable(pool, tmp_path, agent_image=IMAGE, replica_networks=networks) as installation:
            operator = Operator(tmp_path)
            await operator.runs(
                *("login", "--url", installation.url, "--ca", str(installation.folder / "tls/ca.crt"), "--key", "-"),
                given=(installation.folder / "admin.key").read_text(),
            )
            yield Machine(installation, operator, root, options)
    finally:
        await docker("rm", "-f", CONTAINER, check=False)
        # Its replicas run on without it.
        for left in (await docker("ps", "-aq", "--filter", f"label=headrace.agent={NAME}")).split():
            await docker("rm", "-f", left, check=False)
        compose_images.remove(TAG)


async def test_a_machine_with_docker_only_joins_serves_and_keeps_its_identity(
    machine: Machine, python_image: str, tmp_path: Path
) -> None:
    made = json.loads(await machine.operator.runs("agent", "join-token", "--docker", "--json"))
    ran = await machine.run(made["command"])
    assert ran.returncode == 0, ran.stdout + ran.stderr + await docker("logs", CONTAINER, check=False)
    assert ran.stdout.endswith(f"{NAME} runs as the container {CONTAINER}, and is ready\n")
    assert await eventually(machine.alive, within_s=60, every_s=0.5)
    shown = await docker("inspect", CONTAINER)
    assert made["token"] not in shown
    (state,) = json.loads(shown)
    identity = (machine.root / "etc/bus" / f"{NAME}.creds").read_text()

    # The engine finds what the agent fetched, at the same path.
    model = tmp_path / "model"
    model.mkdir()
    (model / "model-definition.yaml").write_text(ENGINE_DEFINITION)
    await machine.operator.runs("folder", "create", "chat")
    await machine.operator.runs("folder", "upload", "chat", str(model))
    await machine.operator.runs(
        *("service", "create", "chat", "--folder", "chat", "--image", python_image, "--replicas", "1"),
        *("--slot", "cpu=0.2", "--slot", "mem=256m"),
    )
    assert await eventually(machine.healthy, within_s=90, every_s=0.5)
    replica = await docker("ps", "-q", "--no-trunc", "--filter", f"label=headrace.agent={NAME}")
    assert replica

    # Stopped, and run again: the same container, and a token that is used up is not asked for.
    await docker("stop", CONTAINER)
    again = await machine.run(made["command"])
    assert again.returncode == 0, again.stdout + again.stderr
    assert "nothing to join" in again.stdout
    assert json.loads(await docker("inspect", CONTAINER))[0]["Id"] == state["Id"]

    # Without its container, as on the way to another image: it comes back as who it was, and its replica was not touched.
    await docker("rm", "-f", CONTAINER)
    anew = await machine.run(made["command"])
    assert anew.returncode == 0, anew.stdout + anew.stderr
    assert await eventually(machine.alive, within_s=60, every_s=0.5)
    assert (machine.root / "etc/bus" / f"{NAME}.creds").read_text() == identity
    assert replica in (await docker("ps", "-q", "--no-trunc", "--filter", f"label=headrace.agent={NAME}")).split()
