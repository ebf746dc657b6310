"""Composition root: constructs the agent's parts, and nothing else does.

`build` opens what is outside of the process (`Edges`), `make_agent` puts the parts on it; tests call `make_agent` too.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from headrace.agent.archive import LogArchive
from headrace.agent.bus import read_plan, serve
from headrace.agent.checks import HealthChecker
from headrace.agent.disk import DiskMonitor
from headrace.agent.domain.kernels import snapshots_in_use
from headrace.agent.folder_cache.cache import CacheLimits, FolderCache
from headrace.agent.folder_cache.managers import AccessToken, ManagerFiles
from headrace.agent.folders import Folders
from headrace.agent.gpu.interface import Gpus
from headrace.agent.gpu.simulated import SimulatedGpus
from headrace.agent.hostports import HostPorts
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.logs import LogServer
from headrace.agent.plan_key import kept_key, resolved
from headrace.agent.plans import Plans
from headrace.agent.reconcile.converge import Converger
from headrace.agent.reconcile.probing import Prober
from headrace.agent.reconcile.starting import Starter
from headrace.agent.replica_ports import ReplicaPorts
from headrace.agent.replica_ports import remove as remove_port_filter
from headrace.agent.report import Reporter, machine_of
from headrace.agent.runtime.docker.container import ContainerDefaults
from headrace.agent.runtime.docker.engine import Engine
from headrace.agent.runtime.docker.firewall import Firewall
from headrace.agent.runtime.docker.networks import NetworkPolicy, SessionNetworks
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.docker.runtime import DockerRuntime
from headrace.agent.runtime.interface import Capacity, Runtime
from headrace.agent.runtime.process.cgroups import MemoryGroups
from headrace.agent.runtime.process.runtime import ProcessRuntime
from headrace.agent.scrape import EngineMetrics
from headrace.agent.settings import Settings, identity_file
from headrace.agent.source_names import NAME as KNOWN_SOURCES
from headrace.agent.stats import Sampler
from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.link import Link
from headrace.common.bus.publish import ask
from headrace.common.contracts.messages.folder_access import FolderAccess, FolderAccessRequest
from headrace.common.contracts.messages.reports import Machine
from headrace.common.contracts.port_filter import port_filter_table
from headrace.common.contracts.readiness import AgentCheck
from headrace.common.joining.renewal import identity_loop, keep_identity
from headrace.common.runtime.clock import SYSTEM_CLOCKS, Clocks
from headrace.common.runtime.files import remove_leftovers
from headrace.common.runtime.instance import this_instance
from headrace.common.runtime.service import Task
from headrace.common.runtime.tls import client_context
from headrace.common.web.app import WebServer, make_app

_KEEPALIVE_S = 75.0
"""Idle time of a connection to a kernel until its next scrape."""


@dataclass(frozen=True, slots=True)
class Edges:
    """What an agent works on outside of its process: containers or processes, GPUs, the bus, HTTP of engines, clocks."""

    runtime: Runtime
    gpus: Gpus
    bus: Bus
    checker: HealthChecker
    """Asks kernels' health."""
    http: aiohttp.ClientSession
    """Reads engines' metrics."""
    clocks: Clocks = SYSTEM_CLOCKS
    authorities: ssl.SSLContext | None = None
    """Verifies managers that folders are fetched from; None where they are on a shared storage."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent that is built and does not run yet."""

    kernels: KernelRegistry
    plans: Plans
    ports: HostPorts
    converger: Converger
    prober: Prober
    cache: FolderCache | None
    tasks: Sequence[Task]
    """What runs it, in the order in which they start."""


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Sequence[Task]]:
    """Yield the agent's tasks; closed in reverse order on leaving.

    Raises SystemExit when another agent holds the data folder.
    """
    async with AsyncExitStack() as stack:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.callback(os.close, _lock(settings.data_dir))
        for folder in (settings.data_dir, settings.data_dir / "logs"):
            remove_leftovers(folder)
        keep_identity(settings.nats_credentials, identity_file(settings))
        if not settings.replica_ports_from:
            await remove_port_filter(port_filter_table(settings.data_dir))
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        checker = HealthChecker(settings.probed_host)
        stack.callback(checker.close)
        runtime = await _runtime(settings, stack)
        bus = Bus()
        stack.push_async_callback(bus.close)
        authorities = await _authorities(settings, stack)
        agent = make_agent(
            settings, Edges(runtime, _gpus(settings, stack), bus, checker, http, authorities=authorities)
        )
        stack.callback(agent.ports.close)
        if agent.cache is not None:
            stack.callback(agent.cache.close)
        yield agent.tasks


def make_agent(settings: Settings, edges: Edges) -> Agent:
    """Return an agent on these edges, which knows what lies in its data folder; it opens nothing."""
    runtime, gpus, bus, now = edges.runtime, edges.gpus, edges.bus, edges.clocks.utc
    table = KernelRegistry(settings.data_dir / "kernels")
    table.load()
    key = kept_key(settings.data_dir)
    plans = Plans(settings.data_dir / "plan.json", settings.id, resolve=partial(resolved, key=key))
    plans.load()
    archive = LogArchive(settings.data_dir / "logs", settings.log_retention)
    disk = DiskMonitor(
        settings.data_dir,
        settings.disk_reserve_bytes,
        engine_root=lambda: sampler.capacity.data_root if sampler.capacity is not None else None,
    )
    cache = _folder_cache(settings, edges, table, plans)
    anywhere = secrets.randbelow(len(settings.ports)) + settings.ports.first
    ports = HostPorts(settings.ports, settings.bind_address, after=anywhere)
    ports_filter = _port_filter(settings, table, runtime)
    starter = Starter(
        runtime,
        table,
        Folders(settings.folders_root, cache, settings.model_roots),
        ports,
        disk,
        concurrency=settings.start_concurrency,
        prestart_timeout=settings.prestart_timeout,
        simulated_gpus=gpus.simulated,
        now=now,
        ports_closed=None if ports_filter is None else ports_filter.ensure,
    )
    converger = Converger(
        runtime,
        plans,
        table,
        starter,
        archive,
        every=settings.reconcile_every,
        first_sync=settings.first_sync,
        stop_on_exit=settings.exit_grace if settings.stop_kernels_on_exit else None,
        evict_over_memory=settings.memory_over_limit == "end",
    )
    prober = Prober(
        table, edges.checker, runtime, now, edges.clocks.monotonic, port_open_timeout=settings.port_open_timeout
    )
    sampler = Sampler(
        bus,
        settings.id,
        runtime,
        gpus,
        EngineMetrics(edges.http, settings.probed_host, monotonic=edges.clocks.monotonic),
        table,
        every=settings.metrics_every,
        now=now,
        on_machine=lambda: table.on_change(),  # noqa: PLW0108 - it is set below
        watched=lambda: plans.newest.watched if plans.newest is not None else None,
        on_over=converger.poke if settings.memory_over_limit == "end" else lambda: None,
    )

    started_at = now()

    def machine() -> Machine | None:
        if sampler.capacity is None or not converger.has_looked:
            return None
        offered = _offered(sampler.capacity, settings)
        return machine_of(
            offered,
            sampler.gpus,
            address=settings.advertise_host,
            runtime=settings.runtime,
            isolation=sampler.isolation,
            disk=disk.measure(),
            engine_disk=disk.measure_engine(),
            admin_port=settings.reachable_admin_port,
            plan_key=key.public,
            instance=this_instance(admin, started_at),
        )

    reporter = Reporter(
        bus,
        settings.id,
        table,
        plans,
        machine,
        every=settings.report_every,
        now=now,
        read_plan=lambda: read_plan(bus, settings.id, plans),
        monotonic=edges.clocks.monotonic,
    )
    logs = LogServer(bus, settings.id, runtime, table, archive)
    login = Login(
        settings.nats_url,
        settings.bus_user,
        settings.nats_password.get_secret_value(),
        f"agent {settings.id}",
        credentials=identity_file(settings) or settings.nats_credentials,
        ca_file=settings.ca_file,
    )
    link = Link(bus, login, lambda: serve(bus, settings.id, plans, logs))
    renewal = identity_loop(
        settings.nats_credentials,
        identity_file(settings),
        settings.manager_urls,
        settings.ca_file,
        bus,
        now,
        on_removed=plans.remove_machine,
    )
    table.on_change = reporter.poke
    plans.on_new = converger.poke
    converger.after_change = prober.sync
    app = make_app(
        checks={
            AgentCheck.BUS: link.check,
            AgentCheck.RUNTIME: lambda: converger.runtime_error,
            AgentCheck.PLAN: lambda: plans.problem,
            AgentCheck.REPLICA_PORTS: ports_filter.check if ports_filter is not None else lambda: None,
        }
    )
    admin = WebServer(app, host=settings.admin_host, port=settings.admin_port, name="admin")
    # Stopped from the last to the first: kernels are left (or ended) first, and the last report tells of it.
    filters = () if ports_filter is None else (ports_filter,)
    tasks: tuple[Task, ...] = (admin, *filters, *renewal, link, logs, reporter, sampler, prober, converger)
    return Agent(table, plans, ports, converger, prober, cache, tasks)


async def _authorities(settings: Settings, stack: AsyncExitStack) -> ssl.SSLContext | None:
    """Return what verifies managers, if folders are fetched from them. Raises TlsFileError."""
    if settings.folder_access != "fetch":
        return None
    settings.cache_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    stack.callback(os.close, _lock(settings.cache_dir))
    return await asyncio.to_thread(client_context, settings.ca_file)


def _port_filter(settings: Settings, table: KernelRegistry, runtime: Runtime) -> ReplicaPorts | None:
    if not settings.replica_ports_from:
        return None
    return ReplicaPorts(
        port_filter_table(settings.data_dir),
        settings.ports,
        settings.replica_ports_from,
        known=settings.data_dir / KNOWN_SOURCES,
        in_use=lambda: any(seen.phase == "running" for seen in table.seen.values()),
        elsewhere=runtime.ports_elsewhere,
    )


def _folder_cache(settings: Settings, edges: Edges, table: KernelRegistry, plans: Plans) -> FolderCache | None:
    if edges.authorities is None:
        return None
    request = FolderAccessRequest(agent_id=settings.id)
    token = AccessToken(lambda: ask(edges.bus, request, FolderAccess), edges.clocks.monotonic)
    return FolderCache(
        settings.cache_dir,
        ManagerFiles(settings.manager_urls, token, edges.authorities, connections=settings.folder_connections),
        CacheLimits(settings.folder_cache_bytes, settings.disk_reserve_bytes, settings.folder_connections),
        in_use=lambda: snapshots_in_use(None if plans.unreadable else plans.wanted, table.records, table.seen),
        now=edges.clocks.utc,
        monotonic=edges.clocks.monotonic,
    )


async def _runtime(settings: Settings, stack: AsyncExitStack) -> Runtime:
    if settings.runtime == "process":
        data = settings.data_dir / "process"
        wanted = settings.process_control_groups == "preferred"
        return ProcessRuntime(
            data,
            host=settings.advertise_host,
            log_bytes=settings.log_bytes,
            environ=os.environ,
            groups=await asyncio.to_thread(MemoryGroups.find, data) if wanted else None,
        )
    engine = await stack.enter_async_context(
        Engine.open(settings.docker_host, timeout_s=settings.docker_timeout.total_seconds())
    )
    common = ContainerDefaults(
        owner=str(settings.data_dir),
        bind_address=settings.bind_address,
        pids=settings.docker_pids,
        shm_bytes=settings.docker_shm_bytes,
    )
    policy = NetworkPolicy(
        settings.docker_network,
        settings.docker_subnets,
        settings.docker_subnet_prefix,
        settings.docker_firewall,
        local_engine=settings.docker_host.startswith("unix://"),
    )
    registries = RegistryAllowList(settings.image_registries, only_listed=settings.image_registries_only)
    firewall = Firewall(common.owner, settings.docker_allowed_networks)
    networks = SessionNetworks(engine, settings.id, common.owner, policy, firewall)
    stack.push_async_callback(networks.close)
    return DockerRuntime(
        engine,
        networks,
        registries,
        agent_id=settings.id,
        host=settings.advertise_host,
        common=common,
        pull_timeout_s=settings.image_pull_timeout.total_seconds(),
    )


def _gpus(settings: Settings, stack: AsyncExitStack) -> Gpus:
    if settings.simulated_gpus:
        return SimulatedGpus(
            settings.id,
            count=settings.simulated_gpus,
            model=settings.simulated_gpu_model,
            memory_bytes=settings.simulated_gpu_memory_bytes,
        )
    from headrace.agent.gpu.nvml import NvmlGpus  # noqa: PLC0415 - the driver's binding is 2 MB

    real = NvmlGpus()
    stack.callback(real.close)
    return real


def _offered(capacity: Capacity, settings: Settings) -> Capacity:
    return Capacity(
        capacity.hostname,
        capacity.architecture,
        settings.cpu or capacity.cpus,
        settings.mem_bytes or capacity.mem_bytes,
    )


def _lock(data_dir: Path) -> int:
    """Lock the data folder for this process. The system frees the lock when the process exits."""
    fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another agent uses {data_dir}")
    return fd
