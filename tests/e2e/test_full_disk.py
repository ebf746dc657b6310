"""A stack whose whole disk is full: replicas serve on, changes are refused with a reason, and room is all it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.disk import SmallDisk, small_disk
from tests.support.load import Load
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]
SIZE_MB = 600


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk", SIZE_MB) as disk:
        yield disk


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(disk: SmallDisk) -> AsyncIterator[Stack]:
    stack = Stack(disk.path / "data", runtime="process", python_image=None)
    stack.log = Path(disk.path).with_name("up.log")
    await stack.start()
    yield stack
    disk.empty()
    assert await stack.stop() == 0, stack.log.read_text()[-4000:]


async def test_replicas_serve_through_a_full_disk_and_room_brings_everything_back(
    stack: Stack, disk: SmallDisk
) -> None:
    api = stack.api
    await stack.engine_service("steady", replicas=2)
    await api.until_healthy("steady", replicas=2)
    token = (await api.token("steady"))["token"]
    before = {row["id"] for row in (await api.service("steady"))["replica_list"]}
    agent = stack.pid("agent-1")
    async with Load(f"{stack.proxy}/steady/v1/models", token, workers=2, pause_s=0.02) as load:
        disk.fill()
        killed = await stack.kill_a_replica("steady")  # news for everybody who keeps books
        refused = []

        async def told() -> bool:
            """New work is refused, or waits with that reason: which of them depends on what room the database still has in its files."""
            disk.fill()
            answer = await api.http.patch("/v1/services/steady", json={"replicas": 3})
            refused.append((answer.status_code, answer.json()))
            return answer.status_code == 507 or "disk" in (await api.service("steady"))["reason"]["text"]

        await eventually(told, within_s=60, every_s=0.5)
        assert {status for status, _ in refused} <= {200, 503, 507}, refused
        assert stack.pid("agent-1") == agent
        served = len(load.answers)
        await eventually(lambda: len(load.answers) > served + 100)
        disk.empty()

        async def scaled() -> bool:
            return (await api.http.patch("/v1/services/steady", json={"replicas": 3})).status_code == 200

        await eventually(scaled, within_s=60, every_s=0.5)
        await api.until_healthy("steady", replicas=3, within_s=90)
    lost = [answer for answer in load.failures if answer.outcome not in {"502", "503"}]
    assert lost == []  # the killed one's own requests may have been broken off
    assert len(load.failures) < 20
    after = {row["id"] for row in (await api.service("steady"))["replica_list"]}
    assert before - {killed} <= after
    assert stack.pid("agent-1") == agent
