"""Wiring of the manager: constructs its parts (loops: `wiring_loops`; what reads model URIs, and keys of secrets:
`wiring_sources`; the API: `wiring_api`).

`build` opens the outside resources (`Edges`), `make_manager` constructs the parts on them; tests call `make_manager`
too.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from headrace.common.bus.connect import Bus
from headrace.common.contracts.readiness import ManagerCheck, ManagerWarning
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import open_pool
from headrace.common.runtime.instance import this_instance
from headrace.common.runtime.service import Task
from headrace.common.web.app import WebServer
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.domain.own_ports import OwnPorts
from headrace.manager.endpoints import HttpEndpoints
from headrace.manager.folders.storage import open_storage
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.inbox.bus import BusInbox
from headrace.manager.inbox.instances import HeardInstances
from headrace.manager.inbox.kernel_samples import KernelSamples
from headrace.manager.inbox.logs import BusLogReader
from headrace.manager.inbox.nats_servers import NatsServers
from headrace.manager.inbox.own_ports import BusOwnPorts
from headrace.manager.inbox.rule_outcomes import LastRuleOutcomes
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.imports import ImportsLoop
from headrace.manager.loops.instances import InstancesLoop
from headrace.manager.loops.pokes import LoopPokes
from headrace.manager.loops.runner import LoopRunner
from headrace.manager.settings import (
    Settings,
    address_policy,
    console_policy,
    console_problem,
    database_address,
    installation_of,
    login_lifetimes,
    object_limits,
    scrape_key,
    secret_bytes,
    webhook_policy,
)
from headrace.manager.signing import FolderAccessTokens, Vault
from headrace.manager.usecases.agent_drains import AgentDrains
from headrace.manager.usecases.agents import Agents
from headrace.manager.usecases.archives import Archives
from headrace.manager.usecases.audit import Audit
from headrace.manager.usecases.auth import Authentication
from headrace.manager.usecases.bootstrap import bootstrap
from headrace.manager.usecases.caller_usage import CallersUsage
from headrace.manager.usecases.calls import Calls
from headrace.manager.usecases.changes import Changes
from headrace.manager.usecases.clients import Clients
from headrace.manager.usecases.definition_reader import DefinitionReader
from headrace.manager.usecases.definitions import Definitions
from headrace.manager.usecases.drafts import Drafts
from headrace.manager.usecases.facade import UseCases
from headrace.manager.usecases.failed_attempts import FailedAttempts
from headrace.manager.usecases.files import Files
from headrace.manager.usecases.folder_shares import FolderShares
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.followers import Followers
from headrace.manager.usecases.history import History
from headrace.manager.usecases.idempotency import Idempotency
from headrace.manager.usecases.identities import Identities
from headrace.manager.usecases.join_tokens import JoinTokens
from headrace.manager.usecases.joining import Joining
from headrace.manager.usecases.known_machines import KnownMachines
from headrace.manager.usecases.live_events import LiveEvents
from headrace.manager.usecases.logins import Logins
from headrace.manager.usecases.logs import Logs
from headrace.manager.usecases.metric_history import MetricHistory
from headrace.manager.usecases.metrics_now import MetricsNow
from headrace.manager.usecases.model_sources import ModelSources
from headrace.manager.usecases.model_store import ModelStore
from headrace.manager.usecases.parsing import ParserPool
from headrace.manager.usecases.password_hashes import PasswordHashes
from headrace.manager.usecases.passwords import Passwords
from headrace.manager.usecases.ports import (
    AppProxies,
    LogReader,
    ManagerState,
    OwnPortQuestions,
    Pokes,
    RuleOutcomes,
)
from headrace.manager.usecases.projects import Projects
from headrace.manager.usecases.receipts import Receipts
from headrace.manager.usecases.replicas import Replicas
from headrace.manager.usecases.resolution import Resolver
from headrace.manager.usecases.resolutions import Resolutions
from headrace.manager.usecases.resource_groups import ResourceGroups
from headrace.manager.usecases.resource_presets import ResourcePresets
from headrace.manager.usecases.revocations import Revocations
from headrace.manager.usecases.rollouts import Rollouts
from headrace.manager.usecases.rules import Rules
from headrace.manager.usecases.search import Search
from headrace.manager.usecases.secrets import Secrets
from headrace.manager.usecases.service_lists import ServiceLists
from headrace.manager.usecases.services import Services
from headrace.manager.usecases.snapshot_files import SnapshotFiles
from headrace.manager.usecases.snapshots import FolderSnapshots
from headrace.manager.usecases.status import Status
from headrace.manager.usecases.storage_account import StorageAccount
from headrace.manager.usecases.targets import Targets
from headrace.manager.usecases.tokens import SigningKeys, Tokens
from headrace.manager.usecases.trash import Trash
from headrace.manager.usecases.uploads import Uploads
from headrace.manager.usecases.usage import Usage
from headrace.manager.usecases.users import Users
from headrace.manager.usecases.validations import Validations
from headrace.manager.usecases.webhooks import Webhooks
from headrace.manager.usecases.wheels import Wheels
from headrace.manager.wiring_api import make_api_server
from headrace.manager.wiring_edges import Edges
from headrace.manager.wiring_inbox import InboxParts, make_inbox
from headrace.manager.wiring_loops import make_loops
from headrace.manager.wiring_sources import make_imports, make_sources, secret_keys

UPLOADS_KEPT_FOR = timedelta(days=2)
"""Uploads that nothing was written to for so long are deleted at the next start."""
_FILE_THREADS = 8
_FILE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Manager:
    """Constructed manager, not running yet."""

    inbox: BusInbox
    loops: LoopRunner
    imports: ImportsLoop
    instances: InstancesLoop
    pokes: LoopPokes
    use_cases: UseCases
    api: WebServer

    @property
    def tasks(self) -> Sequence[Task]:
        """Return its tasks, in the order in which they start."""
        return self.inbox, self.loops, self.imports, self.instances, self.api


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Sequence[Task]]:
    """Migrate, open everything, and yield the tasks in the order in which they start; close in reverse.

    Raises MigrationFailed, OSError when the database cannot be reached or a file not written. The bus may come later.
    """
    database_url = database_address(settings)
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
        bus = Bus()
        stack.push_async_callback(bus.close)
        manager = make_manager(settings, Edges(pool, bus, storage))
        await manager.use_cases.clean()
        yield manager.tasks


def make_manager(settings: Settings, edges: Edges) -> Manager:
    """Return a manager on these edges; it opens nothing."""
    pool, bus = edges.pool, edges.bus
    followers = Followers()
    pokes, outcomes = LoopPokes(), LastRuleOutcomes(monotonic=edges.clocks.monotonic)
    proxies = AppProxyReports(edges.clocks.utc, pokes.poke, connected=lambda: bus.connected)
    agents = AgentLiveness(pool, bus, pokes.poke, lost_after=settings.lost_after, monotonic=edges.clocks.monotonic)
    authority = BusAuthority(settings.bus_signing_file)
    samples = KernelSamples(edges.clocks.utc)
    loops = make_loops(settings, edges, proxies, agents, authority, pokes, followers, samples)
    heard = HeardInstances(edges.clocks.monotonic)
    started_at = edges.clocks.utc()
    instances = InstancesLoop(
        pool,
        heard,
        manager=lambda: _name_and_address(settings, api.port),
        instance=lambda stopping: this_instance(api, started_at, stopping=stopping),
        monotonic=edges.clocks.monotonic,
    )
    use_cases = make_use_cases(
        settings,
        edges,
        pokes=pokes,
        outcomes=outcomes,
        reader=BusLogReader(bus),
        proxies=proxies,
        own_ports=BusOwnPorts(bus, proxies),
        authority=authority,
        own=instances,
        followers=followers,
    )
    inbox = make_inbox(settings, edges, use_cases, pokes, agents, InboxParts(proxies, outcomes, heard, samples))
    api = make_api_server(
        settings,
        use_cases,
        checks={ManagerCheck.BUS: inbox.check, ManagerCheck.LOOPS: loops.check},
        warnings={
            ManagerWarning.DATABASE: instances.database_problem,
            ManagerWarning.CONSOLE: lambda: console_problem(settings),
        },
        monotonic=edges.clocks.monotonic,
    )
    return Manager(
        inbox,
        loops,
        make_imports(settings, edges.pool, edges.storage, pokes, edges.clocks.monotonic),
        instances,
        pokes,
        use_cases,
        api,
    )


def make_use_cases(
    settings: Settings,
    edges: Edges,
    *,
    pokes: Pokes,
    outcomes: RuleOutcomes,
    reader: LogReader,
    proxies: AppProxies,
    own_ports: OwnPortQuestions,
    authority: BusAuthority,
    own: ManagerState,
    followers: Followers,
) -> UseCases:
    """Return all use cases on these edges and ports."""
    pool, storage, clock = edges.pool, edges.storage, edges.clocks.utc
    limits, allowed_ports = object_limits(settings), OwnPorts.parse(settings.endpoint_ports, settings.reserved_ports)
    max_bytes = settings.upload_limit_bytes
    vault = Vault(secret_bytes(settings))
    snapshots = FolderSnapshots(storage, monotonic=edges.clocks.monotonic)
    account = StorageAccount(pool, limits)
    sources = ModelSources(pool, storage, make_sources(settings), account)
    keys = secret_keys(settings)
    console, lifetimes = console_policy(settings), login_lifetimes(settings)
    auth = Authentication(pool, vault, console, idle=lifetimes.idle)
    passwords, attempts = Passwords(pool, vault, PasswordHashes()), FailedAttempts(edges.clocks.monotonic)
    parsing = ParserPool()
    resolver = Resolver(pool, snapshots, sources, keys, parsing)
    machines = KnownMachines(pool, edges.clocks)
    drafts = Drafts(pool, resolver, allowed_ports, own_ports, limits)
    services = Services(pool, drafts, snapshots, proxies, pokes, clock, limits, proxy_url=settings.public_proxy_url)
    folders = Folders(pool, storage, snapshots, account, trash_kept_for=settings.trash_kept_for)
    revocations = Revocations(pool, proxies, clock)
    identities, installation = Identities(pool, authority, pokes), installation_of(settings)
    return UseCases(
        auth=auth,
        idempotency=Idempotency(pool, vault),
        projects=Projects(pool, limits),
        users=Users(pool, vault, limits),
        logins=Logins(pool, vault, auth, passwords, attempts, console, lifetimes),
        passwords=passwords,
        folders=folders,
        folder_shares=FolderShares(pool, limits),
        trash=Trash(pool, storage, kept_for=settings.trash_kept_for),
        files=Files(pool, storage, folders, account),
        definitions=Definitions(folders, storage, parsing),
        model_store=ModelStore(pool, folders, DefinitionReader(pool, storage, parsing), machines, clock),
        uploads=Uploads(pool, storage, folders, account, max_bytes=max_bytes, kept_for=UPLOADS_KEPT_FOR, limits=limits),
        archives=Archives(pool, storage, folders, account, max_bytes=max_bytes, monotonic=edges.clocks.monotonic),
        services=services,
        service_lists=ServiceLists(pool, proxies, clock, proxy_url=settings.public_proxy_url),
        search=Search(pool),
        changes=Changes(pool, drafts, services, pokes, limits),
        resolutions=Resolutions(pool, drafts, services, machines, clock),
        replicas=Replicas(pool, pokes),
        rollouts=Rollouts(pool, pokes, clock),
        receipts=Receipts(pool),
        tokens=Tokens(pool, SigningKeys(vault), pokes, clock, limits, revocations),
        calls=Calls(
            pool,
            SigningKeys(vault),
            HttpEndpoints(settings.proxy_url or settings.public_proxy_url, settings.ca_file),
            clock,
        ),
        clients=Clients(pool, pokes, limits, revocations),
        secrets=Secrets(pool, keys, limits),
        resource_presets=ResourcePresets(pool, limits),
        resource_groups=ResourceGroups(pool, pokes),
        rules=Rules(pool, outcomes, pokes, limits),
        history=History(pool, snapshots),
        audit=Audit(pool),
        logs=Logs(pool, reader, clock),
        live_events=LiveEvents(pool, followers, idle=lifetimes.idle),
        webhooks=Webhooks(pool, keys, webhook_policy(settings), pokes, limits),
        validations=Validations(pool, resolver, pokes, limits),
        agents=Agents(pool, address_policy(settings), identities, pokes),
        agent_drains=AgentDrains(pool, pokes, clock),
        join_tokens=JoinTokens(pool, vault, authority, installation),
        joining=Joining(
            pool,
            vault,
            authority,
            installation,
            FailedAttempts(edges.clocks.monotonic),
            clock,
            lifetime=settings.identity_lifetime,
        ),
        wheels=Wheels(settings.wheels_dir),
        identities=identities,
        snapshot_files=SnapshotFiles(pool, storage, FolderAccessTokens(secret_bytes(settings)), clock),
        usage=Usage(pool, clock),
        callers=CallersUsage(pool, clock),
        metric_history=MetricHistory(pool, clock),
        metrics_now=MetricsNow(pool, edges.clocks),
        targets=Targets(pool, auth, proxies, address_policy(settings), scrape_key(settings)),
        status=Status(pool, auth, NatsServers(edges.bus, copies=settings.nats_replicas), own, edges.clocks.monotonic),
    )


def _name_and_address(settings: Settings, port: int) -> tuple[str, str]:
    port = port or settings.listen_port
    return settings.id or f"{socket.gethostname()}:{port}", f"{settings.listen_host}:{port}"
