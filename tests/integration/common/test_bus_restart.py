"""A bus server that goes away and comes back, as a container: readers notice, re-read, and miss nothing."""

from __future__ import annotations

import asyncio
import gc
import io
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer

from headrace.common.bus.connect import open_bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.publish import publish_last
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import BusUnavailable
from tests.support.ports import free_port
from tests.support.wait import eventually

pytestmark = [
    pytest.mark.docker,
]
IMAGE = "headrace-test-nats:1"
CONFIG = b"""
port: 4222
jetstream { store_dir: "/data", sync_interval: 2s }
authorization { users: [{user: manager, password: secret}] }
"""


def _image() -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(Path(sysconfig.get_path("scripts")) / "nats-server", "nats-server")
        info = tarfile.TarInfo("nats.conf")
        info.size = len(CONFIG)
        tar.addfile(info, io.BytesIO(CONFIG))
        folder = tarfile.TarInfo("data")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        tar.addfile(folder)
    command = ["docker", "import", "-c", 'ENTRYPOINT ["/nats-server", "-c", "/nats.conf"]', "-", IMAGE]
    subprocess.run(command, input=archive.getvalue(), check=True, capture_output=True, timeout=60)


@pytest.fixture
def nats_container(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DockerContainer, str]]:
    monkeypatch.setattr("testcontainers.core.config.testcontainers_config.ryuk_disabled", True)
    _image()
    port = free_port()
    with DockerContainer(IMAGE).with_bind_ports(4222, port) as container:
        yield container, f"nats://127.0.0.1:{port}"


def _table(generation: int, service: ServiceId) -> RouteTable:
    return RouteTable(service_id=service, generation=generation, name="s", project_id=ProjectId(new_uuid()))


async def test_a_restarted_server_keeps_last_values_and_readers_catch_up(
    nats_container: tuple[DockerContainer, str],
) -> None:
    container, url = nats_container
    service, seen = ServiceId(new_uuid()), []

    async def deliver(table: RouteTable) -> None:
        seen.append(table.generation)

    async def reachable() -> bool:
        try:
            async with open_bus(url, user="manager", password="secret", name="probe"):
                return True
        except BusUnavailable:
            return False

    await eventually(reachable)
    async with open_bus(url, user="manager", password="secret", name="test") as bus:
        await ensure_streams(bus)
        await publish_last(bus, _table(1, service))
        watch = LastValues(bus, RouteTable, deliver, resync=timedelta(hours=1))
        running = asyncio.create_task(watch.run())
        await eventually(lambda: seen == [1])
        container.get_wrapped_container().kill()
        await eventually(lambda: not bus.connected)
        with pytest.raises(BusUnavailable):
            await publish_last(bus, _table(2, service), timeout_s=0.3)
        container.get_wrapped_container().start()
        await eventually(lambda: bus.connected and len(seen) >= 2, what="the stored value is read again")
        assert set(seen) == {1}
        await publish_last(bus, _table(3, service))
        await eventually(lambda: seen[-1] == 3)
        watch.stop()
        await asyncio.wait_for(running, 60)
    gc.collect()  # so that what was dropped is heard of here and not in another test
