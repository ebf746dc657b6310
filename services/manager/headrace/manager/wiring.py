"""Wiring of the manager: the one file that constructs its parts.

Tests build with the same functions, with a clock and edges of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from datetime import timedelta

from headrace.common.bus.connect import Bus, Login
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.common.runtime.clock import Clock, utc_now
from headrace.common.runtime.loop import Loop
from headrace.common.runtime.service import Task
from headrace.common.web.app import WebServer
from headrace.manager.api.app import make_api
from headrace.manager.domain.addresses import Places
from headrace.manager.domain.bounds import USUAL, Bounds
from headrace.manager.domain.own_ports import OwnPorts
from headrace.manager.folders.storage import FolderStorage, open_storage
from headrace.manager.inbox.app_proxies import Proxies
from headrace.manager.inbox.bus import BusInbox
from headrace.manager.inbox.logs import BusLogReader
from headrace.manager.inbox.reports import NodeReports
from headrace.manager.inbox.rule_outcomes import Outcomes
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.housekeeping import Housekeeping, Retention
from headrace.manager.loops.measuring import Measuring
from headrace.manager.loops.placement import Placing
from headrace.manager.loops.pokes import LoopPokes
from headrace.manager.loops.publishing import Publishing
from headrace.manager.loops.receipts import Receipts as ReceiptsLoop
from headrace.manager.loops.runner import Loops
from headrace.manager.loops.services import Services as ServicesLoop
from headrace.manager.settings import Settings, places, secret_bytes
from headrace.manager.signing import Vault
from headrace.manager.store import tables
from headrace.manager.usecases.agents import Agents
from headrace.manager.usecases.archives import Archives
from headrace.manager.usecases.auth import Authentication
from headrace.manager.usecases.bootstrap import bootstrap
from headrace.manager.usecases.changes import Changes
from headrace.manager.usecases.clients import Clients
from headrace.manager.usecases.facade import UseCases
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.history import History
from headrace.manager.usecases.logs import Logs
from headrace.manager.usecases.ports import AppProxies, LogReader, LoopName, Pokes, RuleOutcomes
from headrace.manager.usecases.projects import Projects
from headrace.manager.usecases.receipts import Receipts
from headrace.manager.usecases.replicas import Replicas
from headrace.manager.usecases.resolution import Resolver
from headrace.manager.usecases.revocations import Revocations
from headrace.manager.usecases.rules import Rules
from headrace.manager.usecases.scaling import Scaling
from headrace.manager.usecases.services import Services
from headrace.manager.usecases.storage_account import StorageAccount
from headrace.manager.usecases.tokens import SigningKeys, Tokens
from headrace.manager.usecases.uploads import Uploads
from headrace.manager.usecases.users import Users
from headrace.manager.usecases.validations import Validations

AGENTS_EVERY = timedelta(seconds=0.5)
"""A lost machine must be replaced within 10 s, of which `lost_after` takes most."""
HOUSEKEEPING_EVERY = timedelta(minutes=1)
REST = 1.0
"""A loop that is poked all the time works at most half of the time, so that pokes meanwhile are handled in one pass."""
_FILE_THREADS = 8
_FILE_TIMEOUT_S = 60.0


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Iterable[Task]]:
    """Migrate, open everything, and yield the tasks in the order in which they start; close in reverse.

    Raises MigrationFailed, OSError when the database cannot be reached or a file not written. The bus may come later.
    """
    database_url = settings.database_url.get_secret_value()
    await migrate(database_url)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(database_url, size=settings.database_connections, application="headrace-manager")
        )
        vault = Vault(secret_bytes(settings))
        await bootstrap(pool, vault, SigningKeys(vault), settings.admin_key_file)
        storage = stack.enter_context(
            open_storage(
                settings.folders_root,
                threads=_FILE_THREADS,
                timeout_s=_FILE_TIMEOUT_S,
                reserve_bytes=settings.storage_reserve_bytes,
            )
        )

        bus, pokes, outcomes = Bus(), LoopPokes(), Outcomes()
        stack.push_async_callback(bus.close)
        proxies = Proxies(utc_now, pokes.poke, connected=lambda: bus.connected)
        agents = AgentLiveness(pool, bus, pokes.poke, lost_after=settings.lost_after)
        loops = make_loops(
            pool,
            bus,
            proxies,
            agents,
            utc_now,
            pokes,
            every=settings.reconcile_every,
            verify=settings.verify_every,
            kept=Retention(
                sessions=settings.forget_sessions_after,
                errors=settings.forget_errors_after,
                receipts=settings.forget_receipts_after,
                events=settings.forget_events_after,
                deleted=settings.forget_deleted_after,
            ),
            storage=storage,
            measure=settings.measure_folders_every,
        )
        password = settings.nats_password.get_secret_value()
        side = BusInbox(
            bus,
            Login(settings.nats_url, settings.nats_user, password, "manager"),
            listening=agents.listening,
            proxies=proxies,
            outcomes=outcomes,
            nodes=NodeReports(pool, pokes.poke, places=places(settings), lost_after=settings.lost_after),
            scale=Scaling(pool, pokes).answer,
            poke=pokes.poke,
        )
        use = make_use_cases(
            pool,
            storage,
            vault=vault,
            proxy_url=settings.public_proxy_url,
            pokes=pokes,
            outcomes=outcomes,
            reader=BusLogReader(bus),
            clock=utc_now,
            max_upload_bytes=settings.upload_limit_bytes,
            uploads_kept_for=timedelta(days=2),
            most=Bounds(**{field.name: getattr(settings, field.name) for field in fields(Bounds)}),
            own_ports=OwnPorts.parse(settings.endpoint_ports, settings.reserved_ports),
            proxies=proxies,
            places=places(settings),
        )
        await use.clean()
        app = make_api(use, checks={"bus": side.check, "loops": loops.check})
        yield [
            side,
            loops,
            WebServer(
                app,
                host=settings.listen_host,
                port=settings.listen_port,
                name="api",
                max_connections=settings.max_connections,
            ),
        ]


def make_loops(
    pool: Pool,
    bus: Bus,
    proxies: Proxies,
    agents: AgentLiveness,
    clock: Clock,
    pokes: LoopPokes,
    *,
    every: timedelta,
    verify: timedelta,
    kept: Retention,
    storage: FolderStorage | None = None,
    measure: timedelta = timedelta(days=1),
) -> Loops:
    """Return all loops on these parts. Without a `storage` what folders hold is not measured."""
    services = ServicesLoop(pool, proxies, clock, pokes.poke, every=every)
    routes = Publishing(pool, bus, RouteTable, tables.Routes(), verify=verify, claimed=proxies.claimed)
    passes: dict[LoopName, Callable[[], Awaitable[None]]] = {
        "services": services.one_pass,
        "placement": Placing(pool, clock, pokes.poke).one_pass,
        "plans": Publishing(pool, bus, NodePlan, tables.Plans(), verify=verify).one_pass,
        "routes": routes.one_pass,
        "rules": Publishing(pool, bus, RuleTable, tables.Rules(), verify=verify).one_pass,
        "agents": agents.one_pass,
        "receipts": ReceiptsLoop(pool, proxies, clock).one_pass,
        "housekeeping": Housekeeping(pool, pokes.poke, kept).one_pass,
    }
    if storage is not None:
        passes["measuring"] = Measuring(pool, storage, pokes.poke, every=measure).one_pass
    periods = {"agents": min(every, AGENTS_EVERY), "housekeeping": HOUSEKEEPING_EVERY, "measuring": HOUSEKEEPING_EVERY}
    return Loops(
        [
            Loop(name, one_pass, every=periods.get(name, every), rest=REST, poked=pokes.event(name))
            for name, one_pass in passes.items()
        ]
    )


def make_use_cases(
    pool: Pool,
    storage: FolderStorage,
    *,
    vault: Vault,
    proxy_url: str,
    pokes: Pokes,
    outcomes: RuleOutcomes,
    reader: LogReader,
    clock: Clock,
    max_upload_bytes: int,
    uploads_kept_for: timedelta,
    own_ports: OwnPorts,
    proxies: AppProxies,
    most: Bounds = USUAL,
    places: Places = Places(),  # noqa: B008 - frozen
) -> UseCases:
    """Return all use cases on these parts. `proxy_url`: where callers reach the app-proxy."""
    resolver = Resolver(storage)
    services = Services(pool, resolver, proxies, pokes, clock, own_ports, most, proxy_url=proxy_url)
    account = StorageAccount(pool, most)
    folders = Folders(pool, storage, account, most)
    revocations = Revocations(pool, proxies, clock)
    return UseCases(
        auth=Authentication(pool, vault),
        projects=Projects(pool, most),
        users=Users(pool, vault, most),
        folders=folders,
        uploads=Uploads(
            pool, storage, folders, account, max_bytes=max_upload_bytes, kept_for=uploads_kept_for, most=most
        ),
        archives=Archives(pool, storage, folders, account, max_bytes=max_upload_bytes),
        services=services,
        changes=Changes(pool, resolver, services, pokes, own_ports, most),
        replicas=Replicas(pool, pokes),
        receipts=Receipts(pool),
        tokens=Tokens(pool, SigningKeys(vault), pokes, clock, most, revocations),
        clients=Clients(pool, pokes, most, revocations),
        rules=Rules(pool, outcomes, pokes, most),
        history=History(pool),
        logs=Logs(pool, reader, clock),
        validations=Validations(pool, resolver, pokes, most),
        agents=Agents(pool, places),
    )
