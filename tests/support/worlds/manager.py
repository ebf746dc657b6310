"""A manager's loops on real servers, with machines and an app-proxy that speak the bus as the real ones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Literal
from uuid import UUID

from headrace.common.bus.connect import Bus, Login, open_bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import KernelId, ProjectId, ServiceId, SessionId, UserId, new_uuid
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan
from headrace.common.contracts.messages.reports import (
    Disk,
    DrainingRoute,
    DrainReceipt,
    Gpu,
    KernelReport,
    Machine,
    NodeReport,
    ProxyReport,
)
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.domain.addresses import Places
from headrace.manager.inbox.app_proxies import Proxies
from headrace.manager.inbox.bus import BusInbox
from headrace.manager.inbox.reports import NodeReports
from headrace.manager.inbox.rule_outcomes import Outcomes
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.housekeeping import Retention
from headrace.manager.loops.pokes import LoopPokes
from headrace.manager.loops.runner import Loops
from headrace.manager.usecases.scaling import Scaling
from headrace.manager.wiring import make_loops
from tests.support.wait import eventually

Outcome = Literal["healthy", "starting", "failed"]


class FakeAgent:
    """A machine on which kernels become what `outcome` says as soon as they are planned, and go as soon as they are not."""

    def __init__(self, agent_id: str, bus: Bus, *, cpu: str = "8", gpus: int = 0) -> None:
        self.id = agent_id
        self._bus = bus
        self._machine = Machine(
            hostname=agent_id,
            architecture="x86_64",
            address="127.0.0.1",
            runtime="process",
            version="0",
            slots={"cpu": cpu, "mem": str(64 << 30), **({"cuda.device": gpus} if gpus else {})},
            gpus=tuple(
                Gpu(gpu_id=f"{agent_id}-gpu-{n}", index=n, model="simulated", memory_bytes=1, simulated=True)
                for n in range(gpus)
            ),
        )
        self.outcome: Callable[[KernelSpec], Outcome] = lambda _spec: "healthy"
        self.ends: dict[KernelId, str] = {}
        """Kernels that ended by signal 9 after they ran."""
        self.clings = False
        """Whether it keeps kernels that left the plan."""
        self.kernels: dict[KernelId, KernelSpec] = {}
        self.generation = 0
        self.watched: dict[ServiceId, tuple[str, ...]] = {}
        self.ports: dict[KernelId, int] = {}
        self.disks: dict[Literal["disk", "engine_disk"], Disk] = {}
        """What it says of its disks."""
        self._sequence = 0
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()

    async def _planned(self, plan: NodePlan) -> None:
        if plan.generation < self.generation:
            return
        self.generation = plan.generation
        self.watched = dict(plan.watched or {})
        wanted = plan.resolved()
        kept = self.kernels if self.clings else {}
        self.kernels = {**kept, **wanted}
        self._changed.set()

    def report_now(self) -> None:
        self._changed.set()

    def _report(self) -> NodeReport:
        self._sequence += 1
        return NodeReport(
            agent_id=self.id,
            incarnation="1",
            sequence=self._sequence,
            sent_at=utc_now(),
            applied_generation=self.generation,
            machine=self._machine.model_copy(update={str(name): disk for name, disk in self.disks.items()}),
            kernels=tuple(self._kernel(spec) for spec in self.kernels.values()),
        )

    def _kernel(self, spec: KernelSpec) -> KernelReport:
        outcome = self.outcome(spec)
        if spec.kernel_id in self.ends:
            return KernelReport(
                kernel_id=spec.kernel_id,
                session_id=spec.session_id,
                service_id=spec.service_id,
                state="exited",
                health="unhealthy",
                reason=Reason(code="killed-by-signal", text="it ended by signal 9; last lines: out of memory"),
                exit_code=137,
                created_at=utc_now(),
            )
        port = self.ports.setdefault(spec.kernel_id, 20_000 + len(self.ports))
        return KernelReport(
            kernel_id=spec.kernel_id,
            session_id=spec.session_id,
            service_id=spec.service_id,
            state="failed" if outcome == "failed" else "running",
            health="healthy" if outcome == "healthy" else "degraded",
            reason=Reason(code=outcome, text=f"the test says {outcome}"),
            host="127.0.0.1",
            port=None if outcome == "failed" else port,
            created_at=utc_now(),
        )

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[FakeAgent]:
        self._stop.clear()
        watch = LastValues(self._bus, NodePlan, self._planned, subject=f"plan.agent.{self.id}")
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(self._reporting())]
        yield self
        watch.stop()
        self._stop.set()
        self._changed.set()
        await asyncio.gather(*tasks)

    async def _reporting(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            await publish(self._bus, self._report())
            try:
                async with asyncio.timeout(0.2):
                    await self._changed.wait()
            except TimeoutError:
                continue


class FakeProxy:
    """Keeps route tables and says so; `in_flight` requests hold each draining route that has no receipt.

    Of one with a receipt those are open that have not ended; it is named also after its drain.
    """

    def __init__(self, bus: Bus, proxy_id: str = "proxy-1") -> None:
        self.id = proxy_id
        self._bus = bus
        self.receipts: dict[SessionId, DrainReceipt] = {}
        self.tables: dict[ServiceId, RouteTable] = {}
        self.history: list[RouteTable] = []
        self.in_flight = 0
        self._stop = asyncio.Event()

    async def _apply(self, table: RouteTable) -> None:
        known = self.tables.get(table.service_id)
        if known is None or table.generation > known.generation:
            self.tables[table.service_id] = table
            self.history.append(table)
            await self.report()

    async def report(self) -> None:
        drained = {r.session_id for table in self.tables.values() for r in table.routes if r.state == "draining"}
        draining = tuple(self._draining(session_id) for session_id in sorted(drained | set(self.receipts)))
        generations = {service: table.generation for service, table in self.tables.items()}
        await publish(
            self._bus,
            ProxyReport(
                proxy_id=self.id, sent_at=utc_now(), url="http://p", generations=generations, draining=draining
            ),
        )

    def _draining(self, session_id: SessionId) -> DrainingRoute:
        receipt = self.receipts.get(session_id)
        if receipt is None:
            return DrainingRoute(session_id=session_id, in_flight=self.in_flight)
        open_now = receipt.started - receipt.finished - receipt.retried - receipt.failed - receipt.cut
        return DrainingRoute(session_id=session_id, in_flight=open_now, receipt=receipt)

    def serving(self, service: ServiceId) -> int:
        table = self.tables.get(service)
        return sum(r.health == "healthy" and r.state == "active" for r in table.routes) if table else 0

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[FakeProxy]:
        watch = LastValues(self._bus, RouteTable, self._apply)
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(self._reporting())]
        yield self
        watch.stop()
        self._stop.set()
        await asyncio.gather(*tasks)

    async def _reporting(self) -> None:
        while not self._stop.is_set():
            await self.report()
            try:
                async with asyncio.timeout(0.2):
                    await self._stop.wait()
            except TimeoutError:
                continue


ANY_PORT = Places((ip_network("127.0.0.0/8"),), first_port=1024, last_port=65_535)
"""Stand-ins for replicas listen where the system lets them."""


class World:
    """Rows and parts a test moves."""

    def __init__(self, pool: Pool, servers: EmbeddedServers, stack: AsyncExitStack) -> None:
        self.pool = pool
        self.servers = servers
        self._stack = stack
        self.user, self.project = UserId(new_uuid()), ProjectId(new_uuid())

    async def prepare(self) -> None:
        await self.pool.execute("insert into users (id, name) values ($1, 'someone')", self.user)
        await self.pool.execute("insert into projects (id, name) values ($1, 'p')", self.project)

    async def bus(self, user: str) -> Bus:
        name, password = self.servers.nats_user(user)
        return await self._stack.enter_async_context(
            open_bus(self.servers.nats_url, user=name, password=password, name=name)
        )

    async def agent(self, agent_id: str = "agent-1", **facts: Any) -> FakeAgent:
        return FakeAgent(agent_id, await self.bus(agent_id), **facts)

    async def proxy(self, proxy_id: str = "proxy-1") -> FakeProxy:
        return await self._stack.enter_async_context((await self.proxy_to_start(proxy_id)).alive())

    async def proxy_to_start(self, proxy_id: str) -> FakeProxy:
        user = "appproxy" if proxy_id == "proxy-1" else "manager"  # the servers know one app-proxy's user
        return FakeProxy(await self.bus(user), proxy_id)

    async def manager(self, *, lost_after_s: float = 2.0, every_s: float = 0.3) -> Loops:
        """Start one manager's loops; stopped at the end of the test."""
        return await self._stack.enter_async_context(self.running_manager(lost_after_s=lost_after_s, every_s=every_s))

    @asynccontextmanager
    async def running_manager(self, *, lost_after_s: float = 2.0, every_s: float = 0.3) -> AsyncIterator[Loops]:
        user, password = self.servers.nats_user("manager")
        bus, pokes, outcomes = Bus(), LoopPokes(), Outcomes()
        proxies = Proxies(utc_now, pokes.poke)
        agents = AgentLiveness(self.pool, bus, pokes.poke, lost_after=timedelta(seconds=lost_after_s))
        loops = make_loops(
            self.pool,
            bus,
            proxies,
            agents,
            utc_now,
            pokes,
            every=timedelta(seconds=every_s),
            verify=timedelta(seconds=2),
            kept=Retention(),
        )
        side = BusInbox(
            bus,
            Login(self.servers.nats_url, user, password, "manager"),
            listening=agents.listening,
            proxies=proxies,
            outcomes=outcomes,
            nodes=NodeReports(self.pool, pokes.poke, lost_after=timedelta(seconds=lost_after_s), places=ANY_PORT),
            scale=Scaling(self.pool, pokes).answer,
            poke=pokes.poke,
        )
        tasks = [asyncio.create_task(side.run()), asyncio.create_task(loops.run())]
        await eventually(lambda: side.check() is None, within_s=10)
        try:
            yield loops
        finally:
            loops.stop()
            side.stop()
            await asyncio.gather(*tasks)
            await bus.close()

    async def service(
        self, name: str, *, replicas: int = 1, slots: dict[str, str] | None = None, grace_s: float = 5
    ) -> ServiceId:
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
            await self._insert_revision(con, service, revision, 1, slots)
        return ServiceId(service)

    async def revision(self, service: ServiceId, number: int) -> UUID:
        """Insert a revision that is not in use yet."""
        revision = new_uuid()
        async with self.pool.acquire() as con:
            await self._insert_revision(con, service, revision, number, None)
        return revision

    async def update(self, service: ServiceId, number: int, *, slots: dict[str, str] | None = None) -> UUID:
        revision = new_uuid()
        async with self.pool.acquire() as con, con.transaction():
            await self._insert_revision(con, service, revision, number, slots)
            await con.execute("update services set revision_id = $2, rev = rev + 1 where id = $1", service, revision)
        return revision

    async def _insert_revision(
        self, con: Any, service: UUID, revision: UUID, number: int, slots: dict[str, str] | None
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
