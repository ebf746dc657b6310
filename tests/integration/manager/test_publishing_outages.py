"""A message bus that is killed, or loses power, while plans and tables are published: in the end it holds the newest of each."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.permissions import BusUser, UserKind
from headrace.common.bus.publish import publish_last
from headrace.common.bus.stored import stored_generations
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Pool
from headrace.common.runtime.loop import PassDeferred
from headrace.embedded.nats import nats_program
from tests.integration.manager.test_publishing import Facts, publishing_of
from tests.support.ports import free_port
from tests.support.wait import eventually

MANAGER = BusUser("manager", UserKind.MANAGER)


class NatsServer:
    """A NATS server as `headrace up` configures it, that can be killed, and set back to what it had on its disk before."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url, self.password = f"nats://127.0.0.1:{port}", f"p{secrets.token_hex(16)}"
        self._folder, self._disk, self._copy = folder, folder / "jetstream", folder / "copy"
        program = nats_program(data=folder, log=folder / "log", port=port, passwords={MANAGER: self.password})
        self._command, self._ready = program.command, program.ready
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command.argv, env=dict(self._command.env), stdout=log, stderr=log)
        await eventually(self._ready)

    async def start_again(self, bus: Bus) -> None:
        """Return once the bus has noticed both."""
        await eventually(lambda: not bus.connected)
        await self.start()
        await eventually(lambda: bus.connected)

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)

    def copy_disk(self) -> None:
        """Note what the disk has now."""
        shutil.copytree(self._disk, self._copy)

    def lose_power(self) -> None:
        """End it, and let its disk have what it had at the copy."""
        self.kill()
        shutil.rmtree(self._disk)
        self._copy.rename(self._disk)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    await server.start()
    yield server
    server.kill()


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    """The manager's connection."""
    async with open_bus(server.url, user=MANAGER.name, password=server.password, name="test") as opened:
        await ensure_streams(opened)
        yield opened


def _table(service: ServiceId, generation: int) -> RouteTable:
    return RouteTable(service_id=service, generation=generation, name="s", project_id=ProjectId(new_uuid()))


async def test_a_killed_server_has_everything_that_it_acknowledged(server: NatsServer, bus: Bus) -> None:
    services = [ServiceId(new_uuid()) for _ in range(20)]
    acknowledged: dict[str, int] = {}

    async def write(service: ServiceId) -> None:
        """Until the server is gone."""
        generation = acknowledged.get(f"route.{service}", 0)
        with suppress(BusUnavailable):
            while True:
                generation += 1
                await publish_last(bus, _table(service, generation), timeout_s=2)
                acknowledged[f"route.{service}"] = generation

    for _ in range(3):
        before = sum(acknowledged.values())
        writers = [asyncio.create_task(write(service)) for service in services]
        await eventually(lambda before=before: sum(acknowledged.values()) > before + 500)
        server.kill()
        await asyncio.gather(*writers)
        await server.start_again(bus)
        held = await stored_generations(bus, RouteTable)
        assert {
            subject: held.get(subject, 0) for subject, has in acknowledged.items() if held.get(subject, 0) < has
        } == {}


async def test_after_a_kill_amid_publishing_the_stream_gets_the_newest_of_every_table(
    server: NatsServer, bus: Bus, pool: Pool
) -> None:
    facts = Facts(pool)
    services = [await facts.add() for _ in range(200)]
    manager = publishing_of(pool, bus, facts)
    heard: list[str] = []

    async def on_message(message: Msg) -> None:
        heard.append(message.subject)

    await bus.client.subscribe("route.*", cb=on_message)
    for wanted in (2, 3, 4):
        before = len(heard)
        passing = asyncio.create_task(manager.one_pass())
        await eventually(lambda before=before: len(heard) > before, every_s=0)
        server.kill()
        with suppress(BusUnavailable, PassDeferred):
            await passing
        await server.start_again(bus)

        async def whole() -> bool:
            with suppress(BusUnavailable, PassDeferred):
                await manager.one_pass()
                return True
            return False

        await eventually(whole)
        newest = dict(await pool.fetch("select subject, generation from publications"))
        assert len(newest) == 200
        assert await stored_generations(bus, RouteTable) == newest
        for service in services:
            await facts.want(service, wanted)


async def test_what_a_power_cut_took_is_published_again_though_as_much_was_written_since(
    server: NatsServer, bus: Bus, pool: Pool
) -> None:
    """The stream's numbers then say the same as before, and only what it holds tells."""
    facts = Facts(pool)
    one, two, three = [await facts.add() for _ in range(3)]
    manager = publishing_of(pool, bus, facts)
    await manager.one_pass()
    server.kill()
    server.copy_disk()
    await server.start_again(bus)
    for service in (one, two):
        await facts.want(service, 2)
    await manager.one_pass()
    assert await stored_generations(bus, RouteTable) == {f"route.{one}": 2, f"route.{two}": 2, f"route.{three}": 1}
    server.lose_power()
    await eventually(lambda: not bus.connected)
    await server.start()
    async with open_bus(server.url, user=MANAGER.name, password=server.password, name="another manager") as other:
        for _ in range(2):
            await publish_last(other, _table(three, 1))
    await eventually(lambda: bus.connected)

    async def published() -> bool:
        await manager.one_pass()
        held = await stored_generations(bus, RouteTable)
        return (held[f"route.{one}"], held[f"route.{two}"]) == (2, 2)

    await eventually(published)
