"""Manager API on a real port and a real database, with fakes of bus and loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import ProxyId, ServiceId, new_uuid
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.common.contracts.problems import BusUnavailable, NotFound
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import SYSTEM_CLOCKS, Clocks, utc_now
from headrace.common.web.app import WebServer
from headrace.manager.api.app import make_api
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.domain.lifecycle.receipts import LastReport
from headrace.manager.domain.lifecycle.status import Presence
from headrace.manager.folders.storage import open_storage
from headrace.manager.loops.live_changes import LiveChangesLoop
from headrace.manager.settings import login_lifetimes, secret_bytes
from headrace.manager.signing import Vault
from headrace.manager.usecases.bootstrap import bootstrap
from headrace.manager.usecases.facade import UseCases
from headrace.manager.usecases.followers import Followers
from headrace.manager.usecases.tokens import SigningKeys
from headrace.manager.wiring import make_use_cases
from headrace.manager.wiring_api import make_web_console
from headrace.manager.wiring_edges import Edges
from tests.support import documented
from tests.support.api import Api
from tests.support.factories.settings import PROXY_URL, manager_settings


@dataclass
class Proxies:
    """Fake reports of app-proxies: one is present and has applied every table, unless the test changes that."""

    heard: Presence = "heard"
    has: dict[UUID, dict[str, int]] = field(default_factory=dict)
    """Generations per service and app-proxy."""
    failed: dict[int, dict[str, str]] = field(default_factory=dict)
    """Own ports that app-proxies could not open."""
    listening: dict[str, set[int]] = field(default_factory=dict)
    """Own ports that app-proxies have opened."""
    of_domain: dict[ProxyId, str] = field(default_factory=dict)
    refusing: dict[int, dict[ProxyId, str]] = field(default_factory=dict)
    """Ports that app-proxies answer they cannot open."""
    asked: list[int] = field(default_factory=list)
    """Ports that they were asked about."""
    silent: dict[str, timedelta] = field(default_factory=dict)
    """For how long app-proxies have not reported."""

    def presence(self) -> Presence:
        return self.heard

    def generations(self, service_id: UUID) -> dict[str, int]:
        return self.has.get(service_id, {})

    def unopened(self, port: int) -> dict[str, str]:
        return self.failed.get(port, {})

    def opened(self, port: int) -> set[ProxyId]:
        return {ProxyId(proxy_id) for proxy_id, ports in self.listening.items() if port in ports}

    def domains(self) -> dict[ProxyId, str]:
        return self.of_domain

    async def refusals(self, port: int) -> dict[ProxyId, str]:
        self.asked.append(port)
        return self.refusing.get(port, {})

    def gathered(self) -> bool:
        return self.heard == "heard"

    def remembered(self) -> dict[ProxyId, LastReport]:
        proxies = {ProxyId(proxy_id) for tables in self.has.values() for proxy_id in tables}
        now = utc_now()
        return {
            proxy_id: LastReport(
                now - self.silent.get(proxy_id, timedelta()),
                ProxyReport(
                    proxy_id=proxy_id,
                    sent_at=now,
                    url=PROXY_URL,
                    generations={ServiceId(key): has[proxy_id] for key, has in self.has.items() if proxy_id in has},
                ),
            )
            for proxy_id in proxies
        }


@dataclass
class FakePorts:
    """Fakes of the API's ports: pokes are recorded, logs and rule outcomes come from the test."""

    poked: list[str] = field(default_factory=list)
    logs: dict[UUID, list[str]] = field(default_factory=dict)
    outcomes: dict[UUID, RuleOutcome] = field(default_factory=dict)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)
    reading: int = 0
    bus_connected: bool = True
    silent: set[str] = field(default_factory=set)
    """Agents that do not answer."""
    proxies: Proxies = field(default_factory=Proxies)

    def poke(self, *loops: str) -> None:
        self.poked.extend(loops)

    def of(self, _: UUID, rule_id: UUID) -> RuleOutcome | None:
        return self.outcomes.get(rule_id)

    def manager_name(self) -> str:
        return "manager-1"

    def database_problem(self) -> str | None:
        return None

    async def say(self, kernel_id: UUID, line: str) -> None:
        """Add a line to a kernel's log."""
        async with self.more:
            self.logs.setdefault(kernel_id, []).append(line)
            self.more.notify_all()

    async def falls_silent(self, agent_id: str, *, silent: bool = True) -> None:
        """Make an agent silent, or end that."""
        async with self.more:
            (self.silent.add if silent else self.silent.discard)(agent_id)
            self.more.notify_all()

    def check(self) -> None:
        if not self.bus_connected:
            raise BusUnavailable("not connected to NATS")

    async def lines(
        self, agent_id: str, kernel_id: UUID, *, tail: int | None, follow: bool, since: str | None = None
    ) -> AsyncIterator[str]:
        if agent_id in self.silent:
            raise BusUnavailable(f"{agent_id} does not answer")
        if kernel_id not in self.logs:
            raise NotFound(f"{agent_id} has no log of {kernel_id}")
        kept = self.logs[kernel_id]
        at = 0 if tail is None else max(0, len(kept) - tail)
        self.reading += 1
        try:
            while True:
                while at < len(kept):
                    yield kept[at]
                    at += 1
                if not follow:
                    return
                async with self.more:
                    await self.more.wait()
                if agent_id in self.silent:
                    raise BusUnavailable(f"{agent_id} fell silent")
        finally:
            self.reading -= 1


@dataclass
class ManagerApi:
    """Running API, with the first admin's client. Answers are checked against the OpenAPI document."""

    url: str
    pool: Pool
    folders: Path
    behind: FakePorts
    use: UseCases
    admin: Api
    followers: Followers
    live: LiveChangesLoop
    """Loop that tells followers what changed, when the test lets it pass."""
    users: list[Api] = field(default_factory=list)
    """Clients of further users, closed with it."""

    async def user(self, name: str, **roles: str) -> Api:
        """Create a user and return its client; `roles`: project=role."""
        await self.admin.call("POST", "/v1/users", {"name": name})
        for project, role in roles.items():
            await self.admin.call("PUT", f"/v1/projects/{project}/members/{name}", {"role": role})
        key = (await self.admin.call("POST", f"/v1/users/{name}/keys", {}))["key"]
        self.users.append(Api(self.url, key, check=documented.check))
        return self.users[-1]

    async def runs(self, service: str, *, healthy: bool = True, agent: str = "agent-1") -> tuple[UUID, UUID]:
        """Insert a running replica of the service, like the loops; return (session, kernel)."""
        session_id, kernel_id = new_uuid(), new_uuid()
        async with self.pool.acquire() as con, con.transaction():
            await self.machine(agent, con)
            await con.execute(
                "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, status, health, was_healthy)"
                " select $1, 'inference', project_id, id, revision_id, resource_group, 'running', $3, $4 from services where name = $2",
                session_id,
                service,
                "healthy" if healthy else "degraded",
                healthy,
            )
            await con.execute(
                "insert into kernels (id, session_id, agent_id, state, health, reason_code, reason_text, host, port)"
                " values ($1, $2, $3, 'running', $4, $5, 'as the test wants', '10.0.0.1', 20000)",
                kernel_id,
                session_id,
                agent,
                "healthy" if healthy else "degraded",
                "healthy" if healthy else "initial-delay",
            )
        return session_id, kernel_id

    async def ends(self, session_id: UUID) -> None:
        """End a session."""
        await self.pool.execute("update sessions set status = 'ended', ended_at = now() where id = $1", session_id)
        await self.pool.execute("update kernels set ended_at = now() where session_id = $1", session_id)

    async def machine(self, agent: str, con: Any = None) -> None:
        """Insert a machine, like the inbox."""
        machine = {
            "hostname": agent,
            "architecture": "x86_64",
            "address": "10.0.0.1",
            "runtime": "docker",
            "version": "1",
            "slots": {"cpu": "8", "mem": "1073741824"},
            "gpus": [],
        }
        await (con or self.pool).execute(
            "insert into agents (id, incarnation, sequence, machine, architecture, slots) values ($1, 'a', 1, $2, 'x86_64', $3)"
            " on conflict (id) do nothing",
            agent,
            machine,
            machine["slots"],
        )


@asynccontextmanager
async def serving(
    pool: Pool, root: Path, clocks: Clocks = SYSTEM_CLOCKS, /, **settings: Any
) -> AsyncIterator[ManagerApi]:
    """Run the API until left, on any free port unless `port` is given. Other `settings`: of the manager, where they are not
    those of `manager_settings`.
    """
    port = settings.pop("port", 0)
    known = manager_settings(root, **({"upload_limit_bytes": 10 * 2**20, "storage_reserve_bytes": 2**20} | settings))
    behind, vault = FakePorts(), Vault(secret_bytes(known))
    with open_storage(known.folders_root, reserve_bytes=known.storage_reserve_bytes) as storage:
        await bootstrap(pool, vault, SigningKeys(vault), known.admin_key_file)
        use = make_use_cases(
            known,
            Edges(pool, Bus(), storage, clocks),
            pokes=behind,
            outcomes=behind,
            reader=behind,
            proxies=behind.proxies,
            own_ports=behind.proxies,
            authority=BusAuthority(known.bus_signing_file),
            own=behind,
            followers=(followers := Followers()),
        )
        live = LiveChangesLoop(pool, followers, idle=login_lifetimes(known).idle, monotonic=clocks.monotonic)
        await live.one_pass()
        server = WebServer(
            make_api(use, make_web_console(known, clocks.monotonic)), host="127.0.0.1", port=port, drain_s=1
        )
        running = asyncio.create_task(server.run())
        await server.started.wait()
        url = f"http://127.0.0.1:{server.port}"
        admin = Api(url, known.admin_key_file.read_text().strip(), check=documented.check)
        api = ManagerApi(url, pool, known.folders_root, behind, use, admin, followers, live)
        try:
            yield api
        finally:
            for client in (admin, *api.users):
                await client.close()
            server.stop()
            await running
