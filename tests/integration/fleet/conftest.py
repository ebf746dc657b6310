"""A fleet: a manager's loops, real agent processes with the process runtime, and a fake app-proxy, on real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import subscribed
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.reports import NodeReport
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.support.bus_servers import BusServers
from tests.support.fakes.appproxy import FakeAppProxy
from tests.support.ports import free_port, port_range
from tests.support.relay import Relay, relay
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld, manager_world

SPEC = {
    "command": ["python", "-m", "http.server", "--bind", "127.0.0.1", "8000"],
    "health_check": {"path": "/", "initial_delay": 0, "interval": 0.3, "max_wait_time": 5, "max_retries": 10},
    "stop_grace_s": 1.0,
    "slots": {"cpu": "1", "mem": "134217728", "cuda.device": "1"},
}
"""A replica that needs the one GPU that each machine has."""


@dataclass
class Machine:
    """A machine: an agent's process, the network between it and the bus, and what it reported."""

    id: str
    env: dict[str, str]
    link: Relay
    log: Path
    process: subprocess.Popen[bytes] | None = None
    reports: list[NodeReport] = field(default_factory=list)

    def start(self) -> None:
        """Start the agent."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace.agent"], env=os.environ | self.env, stdout=output, stderr=output
            )

    def signal(self, number: int) -> None:
        """Send a signal to the agent's process alone: what it started goes on."""
        assert self.process is not None
        self.process.send_signal(number)

    def told(self, *words: str) -> bool:
        """Whether one line of its log has all of these words."""
        return any(all(word in line for word in words) for line in self.log.read_text().splitlines())


@dataclass
class Fleet:
    """Manager, machines and app-proxy."""

    world: ManagerWorld
    proxy: FakeAppProxy
    machines: dict[str, Machine]

    @property
    def pool(self) -> Pool:
        """The manager's database."""
        return self.world.pool

    async def service(self, name: str, *, replicas: int = 1) -> ServiceId:
        """A service that serves with this many replicas."""
        service = await self.world.service(name, replicas=replicas, spec=SPEC)
        await self.serves(service, replicas)
        return service

    async def serves(self, service: ServiceId, replicas: int) -> None:
        """Wait until the app-proxy has this many routes, and no others."""

        def routed() -> bool:
            table = self.proxy.tables.get(service)
            return table is not None and len(table.routes) == replicas == self.proxy.serving(service)

        try:
            await eventually(routed, within_s=90)
        except AssertionError as error:
            logs = "\n".join(f"{m.id}: {m.log.read_text()[-2500:]}" for m in self.machines.values())
            raise AssertionError(f"{error}\n{self.proxy.tables.get(service)}\n{logs}") from None

    async def replica(self, service: ServiceId) -> Replica:
        """The service's only replica."""
        row = await self.pool.fetchrow(
            "select x.id, k.id as kernel_id, k.agent_id, k.port from live_sessions x join kernels k on k.session_id = x.id"
            " where x.service_id = $1 and k.ended_at is null and x.status = 'running'",
            service,
        )
        return Replica(row["id"], row["kernel_id"], row["agent_id"], row["port"])


@dataclass(frozen=True)
class Replica:
    """A replica, its kernel, and where it is."""

    session_id: UUID
    kernel_id: UUID
    agent_id: str
    port: int

    async def answers(self) -> bool:
        """Whether its program takes connections."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


@asynccontextmanager
async def machine_running(agent_id: str, servers: BusServers, folder: Path, **more: str) -> AsyncIterator[Machine]:
    """A machine whose agent runs; `more`: further settings of it, or an empty text for none."""
    host, port = servers.nats_url.rpartition("/")[2].split(":")
    async with relay(host, int(port)) as link:
        with port_range() as ports:
            data = folder / agent_id
            values = {
                "ID": agent_id,
                "NATS_URL": f"nats://127.0.0.1:{link.port}",
                "NATS_PASSWORD": servers.nats_user(agent_id)[1],
                "RUNTIME": "process",
                "DATA_DIR": str(data),
                "FOLDERS_ROOT": str(folder),
                "ADMIN_PORT": str(free_port()),
                "PORT_RANGE": "-".join(map(str, ports)),
                "FIRST_SYNC": "PT0.3S",
                "REPORT_EVERY": "PT0.5S",
                "SIMULATED_GPUS": "1",
                "STOP_KERNELS_ON_EXIT": "true",
            } | more
            env = {f"HEADRACE_AGENT_{name}": value for name, value in values.items() if value}
            machine = Machine(agent_id, env, link, folder / f"{agent_id}.log")
            machine.start()
            try:
                yield machine
            finally:
                machine.signal(signal.SIGCONT)
                machine.signal(signal.SIGTERM)
                assert machine.process is not None
                try:
                    await asyncio.to_thread(machine.process.wait, 60)
                finally:
                    machine.process.kill()


@pytest.fixture
async def fleet(pool: Pool, bus: Bus, servers: EmbeddedServers, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two machines with one GPU each, a manager and an app-proxy."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(manager_world(pool, servers))
        machines = {}
        for number in (1, 2):
            machine = await stack.enter_async_context(machine_running(f"agent-{number}", servers, tmp_path))
            machines[machine.id] = machine

        async def on_report(report: NodeReport) -> None:
            machines[report.agent_id].reports.append(report)

        await stack.enter_async_context(subscribed(bus, NodeReport, on_report))
        await world.manager(lost_after_s=3)
        yield Fleet(world, await world.proxy(), machines)
