"""Manager loops on real servers, with fake agents and app-proxies on the real bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.contracts.ids import ProjectId, ServiceId, UserId, new_uuid
from headrace.common.db.pool import Pool
from headrace.common.runtime.service import run_tasks
from headrace.manager.folders.storage import FolderStorage, open_storage
from headrace.manager.loops.runner import LoopRunner
from headrace.manager.settings import secret_bytes
from headrace.manager.signing import Vault
from headrace.manager.usecases.bootstrap import bootstrap
from headrace.manager.usecases.tokens import SigningKeys
from headrace.manager.wiring import make_manager
from headrace.manager.wiring_edges import Edges
from tests.support.api import Api
from tests.support.bus_servers import BusServers
from tests.support.factories.settings import manager_settings
from tests.support.fakes.agent import FakeAgent
from tests.support.fakes.appproxy import FakeAppProxy
from tests.support.fakes.clock import StoppableClock
from tests.support.wait import eventually

REPLICAS_ANYWHERE = {"replica_networks": ("127.0.0.0/8",), "replica_ports": "1024-65535"}
"""Stand-ins for replicas listen where the system lets them."""


class ManagerWorld:
    """Manager loops with the rows and fakes that a test changes."""

    def __init__(self, pool: Pool, servers: BusServers, stack: AsyncExitStack, storage: FolderStorage) -> None:
        self.pool = pool
        self.servers = servers
        self._stack = stack
        self._storage = storage
        self.clock = StoppableClock()
        """The time that managers go by; the database has its own."""
        self.api: Api | None = None
        """The API of the first whole manager that runs."""
        self.user, self.project = UserId(new_uuid()), ProjectId(new_uuid())

    async def prepare(self) -> None:
        """Make the project in which its services are."""
        await self.pool.execute("insert into users (id, name) values ($1, 'someone')", self.user)
        await self.pool.execute("insert into projects (id, name) values ($1, 'p')", self.project)

    async def bus(self, user: str) -> Bus:
        name, password = self.servers.nats_user(user)
        return await self._stack.enter_async_context(
            open_bus(self.servers.nats_url, user=name, password=password, name=name)
        )

    async def agent(self, agent_id: str = "agent-1", **facts: Any) -> FakeAgent:
        return FakeAgent(agent_id, await self.bus(agent_id), **facts)

    async def proxy(self, proxy_id: str = "proxy-1") -> FakeAppProxy:
        return await self._stack.enter_async_context((await self.proxy_to_start(proxy_id)).alive())

    async def proxy_to_start(self, proxy_id: str) -> FakeAppProxy:
        user = "appproxy" if proxy_id == "proxy-1" else "manager"  # the servers know one app-proxy's user
        return FakeAppProxy(await self.bus(user), proxy_id)

    @property
    def folders_root(self) -> Path:
        """Where managers keep folders."""
        return self._storage.root

    @asynccontextmanager
    async def served_folders(self, port: int) -> AsyncIterator[None]:
        """A manager's API on this port, for agents that fetch folders; it gives them access over the bus."""
        user, password = self.servers.nats_user("manager")
        settings = manager_settings(
            Path("/unused"),
            nats_url=self.servers.nats_url,
            nats_user=user,
            nats_password=password,
            listen_port=port,
            **REPLICAS_ANYWHERE,
        )
        bus, stop = Bus(), asyncio.Event()
        manager = make_manager(settings, Edges(self.pool, bus, self._storage, self.clock.clocks))
        running = asyncio.create_task(run_tasks([manager.inbox, manager.api], stop))
        await eventually(lambda: manager.inbox.check() is None and manager.api.started.is_set())
        try:
            yield
        finally:
            stop.set()
            await running
            await bus.close()

    @asynccontextmanager
    async def whole_manager(self, name: str, *, killed: bool = False, **more: Any) -> AsyncIterator[Api]:
        """A manager, and a client of its API; `status` asks the first one that runs. `killed`: at the end it stops without a word."""
        user, password = self.servers.nats_user("manager")
        usual = {"nats_url": self.servers.nats_url, "nats_user": user, "nats_password": password, "id": name}
        settings = manager_settings(self._storage.root.parent, **REPLICAS_ANYWHERE, **(usual | more))
        bus, stop = Bus(), asyncio.Event()
        manager = make_manager(settings, Edges(self.pool, bus, self._storage, self.clock.clocks))
        vault = Vault(secret_bytes(settings))
        await bootstrap(self.pool, vault, SigningKeys(vault), settings.admin_key_file)
        running = asyncio.create_task(run_tasks(manager.tasks, stop))
        await eventually(lambda: manager.inbox.check() is None and manager.api.started.is_set())
        own = Api(f"http://127.0.0.1:{manager.api.port}", settings.admin_key_file.read_text().strip())
        first, self.api = self.api, self.api or own
        try:
            yield own
        finally:
            if killed:
                running.cancel()
            stop.set()
            await asyncio.gather(running, return_exceptions=killed)
            await bus.close()
            await own.close()
            if first is None:
                self.api = None

    async def status(self) -> Any:
        """Return what a running manager says of the installation."""
        assert self.api is not None
        return await self.api.call("GET", "/v1/status")

    async def manager(self, *, lost_after_s: float = 2.0, every_s: float = 0.3, **more: Any) -> LoopRunner:
        """Start one manager's loops; stopped at the end of the test."""
        running = self.running_manager(lost_after_s=lost_after_s, every_s=every_s, **more)
        return await self._stack.enter_async_context(running)

    @asynccontextmanager
    async def running_manager(
        self, *, lost_after_s: float = 2.0, every_s: float = 0.3, **more: Any
    ) -> AsyncIterator[LoopRunner]:
        """A manager but for its API, stopped in order. `more`: other settings."""
        user, password = self.servers.nats_user("manager")
        settings = manager_settings(
            Path("/unused"),
            nats_url=self.servers.nats_url,
            nats_user=user,
            nats_password=password,
            lost_after=timedelta(seconds=lost_after_s),
            reconcile_every=timedelta(seconds=every_s),
            verify_every=timedelta(seconds=2),
            **REPLICAS_ANYWHERE,
            **more,
        )
        bus, stop = Bus(), asyncio.Event()
        manager = make_manager(settings, Edges(self.pool, bus, self._storage, self.clock.clocks))
        running = asyncio.create_task(run_tasks([manager.inbox, manager.loops], stop))
        await eventually(lambda: manager.inbox.check() is None)
        try:
            yield manager.loops
        finally:
            stop.set()
            await running
            await bus.close()

    async def service(
        self,
        name: str,
        *,
        replicas: int = 1,
        slots: dict[str, str] | None = None,
        grace_s: float = 5,
        spec: Mapping[str, Any] | None = None,
    ) -> ServiceId:
        """Insert a service. `spec`: what its replicas have that real agents need."""
        service, revision = new_uuid(), new_uuid()
        async with self.pool.acquire() as con, con.transaction():
            await con.execute(
                "insert into services (id, project_id, name, wanted, resource_group, revision_id, drain_grace_s, created_by) "
                "values ($1, $2, $3, $4, 'default', $5, $6, $7)",
                service,
                self.project,
                name,
                replicas,
                revision,
                grace_s,
                self.user,
            )
            await self._insert_revision(con, service, revision, 1, slots, spec)
        return ServiceId(service)

    async def revision(self, service: ServiceId, number: int) -> UUID:
        """Insert a revision that is not current."""
        revision = new_uuid()
        async with self.pool.acquire() as con:
            await self._insert_revision(con, service, revision, number, None)
        return revision

    async def update(
        self,
        service: ServiceId,
        number: int,
        *,
        slots: dict[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> UUID:
        revision = new_uuid()
        async with self.pool.acquire() as con, con.transaction():
            await self._insert_revision(con, service, revision, number, slots, spec)
            await con.execute("update services set revision_id = $2, rev = rev + 1 where id = $1", service, revision)
        return revision

    async def _insert_revision(
        self,
        con: Any,
        service: UUID,
        revision: UUID,
        number: int,
        slots: dict[str, str] | None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        resolved = {
            "runtime": "custom",
            "model_name": "m",
            "image": None,
            "architecture": None,
            "command": ["true"],
            "port": 8000,
            "model_path": "/models",
            "health_check": None,
            "slots": slots or {"cpu": "1", "mem": "1024"},
            **(spec or {}),
        }
        await con.execute(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) values ($1, $2, $3, '{}', $4, $5)",
            revision,
            service,
            number,
            resolved,
            self.user,
        )

    async def set(self, service: ServiceId, **columns: Any) -> None:
        for column, value in columns.items():
            await self.pool.execute(f"update services set {column} = $2, rev = rev + 1 where id = $1", service, value)

    async def statuses(self, service: ServiceId) -> list[str]:
        """Return the status of each live session, sorted."""
        rows = await self.pool.fetch(
            "select status from sessions where service_id = $1 and status <> 'ended' order by status", service
        )
        return [row["status"] for row in rows]


@asynccontextmanager
async def manager_world(pool: Pool, servers: BusServers) -> AsyncIterator[ManagerWorld]:
    """A project on this database, and managers, machines and app-proxies on this bus as the test starts them."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory())) / "folders"
        folder.mkdir()
        world = ManagerWorld(pool, servers, stack, stack.enter_context(open_storage(folder)))
        await world.prepare()
        yield world
