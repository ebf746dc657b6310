"""A machine without a shared storage: it fetches its replica's folder from managers, whatever happens on the way."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import subscribed
from headrace.common.contracts.ids import FolderId, ServiceId, new_uuid
from headrace.common.contracts.messages.reports import KernelReport, NodeReport
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.integration.fleet.conftest import SPEC, Machine, machine_running
from tests.support.disk import small_disk
from tests.support.ports import free_port
from tests.support.relay import Relay, relay
from tests.support.snapshots import put_snapshot
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld, manager_world

MIB = 2**20


@cache
def files() -> dict[str, bytes]:
    """Return what a folder has; once there is a test of it: 48 MiB, and a quarter of a second."""
    return {"model.bin": random.Random(3).randbytes(48 * MIB), "a/config.json": b"{}", "empty": b""}


@dataclass
class Fetching:
    """Manager, a machine that fetches folders from it, and the network between them."""

    world: ManagerWorld
    machine: Machine
    port: int
    link: Relay

    async def service(self, name: str, files: dict[str, bytes], *, replicas: int = 1) -> ServiceId:
        """A service whose replicas mount a snapshot with these files."""
        folder_id = FolderId(new_uuid())
        snapshot_id = put_snapshot(self.world.folders_root, folder_id, files)
        mount = {"folder_id": str(folder_id), "target": "/models", "read_only": True, "snapshot_id": snapshot_id}
        spec: dict[str, Any] = {**SPEC, "mounts": [mount], "slots": {"cpu": "0.1", "mem": "134217728"}}
        spec["command"] = [
            "python",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            "--directory",
            "{model_path}",
            "{port}",
        ]
        return await self.world.service(name, replicas=replicas, spec=spec)

    @property
    def kernels(self) -> tuple[KernelReport, ...]:
        """What the machine reported last."""
        return self.machine.reports[-1].kernels if self.machine.reports else ()

    async def healthy(self, replicas: int = 1) -> None:
        """Wait until so many replicas serve."""

        def serve() -> bool:
            return sum(kernel.health == "healthy" for kernel in self.kernels) == replicas

        try:
            await eventually(serve, within_s=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.kernels}\n{self.machine.log.read_text()[-3000:]}") from None

    async def answer(self, path: str) -> bytes:
        """Ask the newest replica for a file of its folder."""
        kernel = next(kernel for kernel in reversed(self.kernels) if kernel.health == "healthy")
        reader, writer = await asyncio.open_connection(kernel.host, kernel.port)
        writer.write(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert b" 200 " in head.splitlines()[0]
        return body


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
async def fetching(
    pool: Pool, bus: Bus, servers: EmbeddedServers, tmp_path: Path, cache_dir: Path
) -> AsyncIterator[Fetching]:
    """A manager whose API does not run yet, and a machine."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(manager_world(pool, servers))
        port = free_port()
        link = await stack.enter_async_context(relay("127.0.0.1", port))
        machine = await stack.enter_async_context(
            machine_running(
                "agent-1",
                servers,
                tmp_path,
                FOLDER_ACCESS="fetch",
                FOLDERS_ROOT="",
                FOLDER_CACHE_DIR=str(cache_dir),
                MANAGER_URLS=f'["http://127.0.0.1:{link.port}"]',
                DISK_RESERVE_BYTES=str(MIB),
                RECONCILE_EVERY="PT0.5S",
            )
        )

        async def on_report(report: NodeReport) -> None:
            machine.reports.append(report)

        await stack.enter_async_context(subscribed(bus, NodeReport, on_report))
        await world.manager(lost_after_s=5)
        yield Fetching(world, machine, port, link)


async def test_a_replica_waits_for_a_manager_and_serves_what_it_fetched_from_it(fetching: Fetching) -> None:
    await fetching.service("chat", files(), replicas=2)

    def waits() -> bool:
        return any(kernel.transfer is not None and kernel.transfer.problem for kernel in fetching.kernels)

    await eventually(waits, within_s=30)
    assert {kernel.reason.code for kernel in fetching.kernels} <= {"fetching-folder", "preparing"}
    async with fetching.world.served_folders(fetching.port):
        await fetching.healthy(2)
        assert await fetching.answer("a/config.json") == b"{}"
        assert await fetching.answer("model.bin") == files()["model.bin"]
    seen = [kernel.transfer for report in fetching.machine.reports for kernel in report.kernels if kernel.transfer]
    assert {one.bytes_total for one in seen if one.phase == "fetching"} == {sum(map(len, files().values()))}


async def test_a_manager_that_dies_and_an_agent_that_is_killed_only_delay_it(
    fetching: Fetching, cache_dir: Path
) -> None:
    await fetching.service("chat", files())

    def has_begun() -> bool:
        return any(path.suffix == ".pieces" and path.read_text() for path in (cache_dir / "partial").glob("*"))

    async with fetching.world.served_folders(fetching.port):
        await eventually(has_begun, within_s=60)
        await fetching.link.cut()
    assert fetching.machine.process is not None
    fetching.machine.signal(signal.SIGKILL)
    await asyncio.to_thread(fetching.machine.process.wait)
    fetching.machine.reports.clear()
    fetching.machine.start()
    await fetching.link.mend()
    async with fetching.world.served_folders(fetching.port):
        await fetching.healthy()
        assert await fetching.answer("model.bin") == files()["model.bin"]


class TestFullDisk:
    """The disk of the cache has room for one model, not for two."""

    @pytest.fixture
    def cache_dir(self, tmp_path: Path) -> Any:
        """A small file system."""
        with small_disk(tmp_path / "disk", 80) as disk:
            yield disk.path

    async def test_what_does_not_fit_is_refused_with_numbers_and_starts_once_something_may_leave(
        self, fetching: Fetching, cache_dir: Path
    ) -> None:
        async with fetching.world.served_folders(fetching.port):
            first = await fetching.service("first", files())
            await fetching.healthy()
            second = await fetching.service("second", {"model.bin": random.Random(4).randbytes(40 * MIB)})

            def refused() -> str | None:
                texts = (kernel.reason.text for report in fetching.machine.reports for kernel in report.kernels)
                return next((text for text in texts if "no room" in text), None)

            text = await eventually(refused, within_s=30)
            assert "no room for its folder: 40 MiB are needed; the disk has " in text
            assert "free for the cache, which could give back 0 MiB" in text
            await fetching.world.set(first, wanted=0)
            await eventually(
                lambda: [(kernel.service_id, kernel.health) for kernel in fetching.kernels] == [(second, "healthy")],
                within_s=60,
            )
            assert len(list((cache_dir / "trees").iterdir())) == 1
            assert len(await fetching.answer("model.bin")) == 40 * MIB
