"""The agent with its disk full to the last byte, for real."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from headrace.common.bus.connect import Bus
from headrace.embedded.stack import EmbeddedServers
from tests.integration.agent.conftest import AgentUnderTest, agent_under_test, make_spec
from tests.support.disk import SmallDisk, small_disk
from tests.support.wait import eventually

ENGINE = ("python", "-m", "headrace.engine", "--port", "8000")
QUICK = {"path": "/health", "interval": 0.2, "max_retries": 2, "max_wait_time": 1.0, "initial_delay": 0.1}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 32) as disk:
        yield disk


@pytest.fixture
async def agent(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, disk: SmallDisk
) -> AsyncIterator[AgentUnderTest]:
    """An agent with all that it writes on the small disk, of which it keeps 8 MiB free of new replicas."""
    settings = {"DATA_DIR": str(disk.path / "agent"), "DISK_RESERVE_BYTES": str(8 * 2**20), "RECONCILE_EVERY": "PT0.5S"}
    async with agent_under_test(bus, servers, tmp_path, folders, **settings) as running:
        running.data = disk.path / "agent"
        running.start()
        yield running
        disk.empty()


async def test_what_serves_goes_on_new_ones_wait_with_numbers_and_all_comes_back_by_itself(
    agent: AgentUnderTest, disk: SmallDisk
) -> None:
    serving, dying = make_spec(command=ENGINE, health_check=QUICK), make_spec(command=ENGINE, health_check=QUICK)
    await agent.plan(serving, dying)
    row = await agent.kernel(serving, state="running", health="healthy")
    other = await agent.kernel(dying, state="running", health="healthy")
    assert agent.process is not None
    process = agent.process.pid
    disk.fill()

    fails = await _broken(agent, dying, str(other.port))  # its health is news, which the agent would write down
    assert fails.state == "exited"
    new = make_spec(command=ENGINE, health_check=QUICK)
    await agent.plan(serving, new)
    waiting = await agent.kernel(new, state="preparing")
    await agent.until(lambda r: any(k.reason.code == "disk-low" for k in r.kernels))
    waiting = await agent.kernel(new, state="preparing")
    assert "to start a replica 8 MiB must be free" in waiting.reason.text
    await agent.gone(dying)  # what is not wanted goes, which makes room
    machine = agent.reports[-1].machine
    assert machine.disk is not None
    assert not machine.disk.has_room
    assert httpx.get(f"http://{row.host}:{row.port}/health", timeout=60, verify=False).status_code == 200

    disk.empty()
    await agent.kernel(new, state="running", health="healthy")
    await agent.kernel(serving, state="running", health="healthy")
    assert agent.process.pid == process
    assert agent.process.poll() is None

    async def saved() -> bool:
        return (disk.path / "agent/plan.json").exists()

    await eventually(saved)
    agent.kill()  # and what could not be written then is there now
    agent.start()
    agent.reports.clear()
    assert (await agent.kernel(serving, state="running", health="healthy")).port == row.port


async def _broken(agent: AgentUnderTest, spec, port: str):  # type: ignore[no-untyped-def]
    listener = _listening_on(int(port))
    os.kill(listener, signal.SIGKILL)
    return await agent.kernel(spec, state="exited")


def _listening_on(port: int) -> int:
    """Return the process that was started with this port in its command."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"headrace.engine" in words and str(port).encode() in words and b"shim.py" not in b" ".join(words):
                return int(entry.name)
    raise AssertionError(f"nothing listens on {port}")
