"""The supervisor behind `headrace up`: servers, then services, kept running until a signal, stopped in order.

What ends whom, and how:

| who dies | what follows |
|---|---|
| a server or service, however | the supervisor starts it again with backoff |
| the app-proxy | its listening sockets stay open in the supervisor: connections wait for the next one |
| an agent by SIGKILL | its kernels live on (sessions of their own) and the restarted agent adopts them |
| the supervisor by SIGTERM or SIGINT | ordered stop: app-proxy and autoscaler, agents with their kernels, manager, servers |
| the supervisor by SIGKILL | the kernel sends services SIGTERM (agents stop their kernels) and ends the servers |

Services get SIGTERM, because an agent needs the chance to stop its kernels; servers end at once, since what they
acknowledged is on disk. What ignores SIGTERM is killed by the next start, which waits for leftovers first.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from pathlib import Path

import structlog

from headrace.common.bus.permissions import embedded_users
from headrace.embedded.credentials import MANAGER_SECRETS_KEYS
from headrace.embedded.descriptors import DescriptorStore
from headrace.embedded.errors import PortTakenError, StartFailedError
from headrace.embedded.ports import HOST, Ports, check_address
from headrace.embedded.private import lock_holder
from headrace.embedded.proc import ProcessId
from headrace.embedded.process import Command
from headrace.embedded.process_supervisor import ProcessSupervisor, Program, start_all
from headrace.embedded.readiness import answers_200
from headrace.embedded.records import end_leftovers
from headrace.embedded.services import (
    API_PORT,
    PROXY_PORT,
    Installation,
    Service,
    UpOptions,
    admin_names,
    default_services,
)
from headrace.embedded.stack import EmbeddedServers
from headrace.embedded.state import Phase, ProcessState, StackState, read_state, remove_state, write_state

log = structlog.get_logger(__name__)

__all__ = ["Stage", "StopResult", "UpOptions", "read_state", "run", "stop"]

_STATE_AGAIN_S = 5.0
_STARTS = 3
"""Attempts to start services when one of their ports is taken between its choice and their start."""

OnProgress = Callable[[str, str], None]
Services = Callable[[Installation, Mapping[str, str]], Sequence[Service]]


class Stage(StrEnum):
    """Subject of a progress line."""

    SERVERS = "servers"
    PORT = "port"
    SERVICE = "service"
    READY = "ready"
    ENDED = "ended"
    RESTARTED = "restarted"
    STOPPING = "stopping"
    STOPPED = "stopped"


class StopResult(StrEnum):
    """Result of stop()."""

    NOT_RUNNING = "not-running"
    STOPPED = "stopped"
    KILLED = "killed"


async def run(
    options: UpOptions,
    on_progress: OnProgress,
    *,
    services: Services = default_services,
    stop_event: asyncio.Event | None = None,
) -> None:
    """Run the stack until SIGINT, SIGTERM, or `stop_event` if given; return once everything has stopped.

    Call it in the main thread: the kernel ties the children to the calling one. `services` are the processes to run on
    the servers. Raises EmbeddedError subclasses if the stack cannot start; then nothing is left running.
    """
    supervisor = _Supervisor(options, on_progress, services)
    with _stop_on_signals() if stop_event is None else _given(stop_event) as stopping:
        body = asyncio.create_task(supervisor.run(), name="supervisor")
        waiter = asyncio.create_task(stopping.wait(), name="stop requested")
        try:
            await asyncio.wait({body, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
            body.cancel()
            await asyncio.wait({body, waiter})
        if not body.cancelled():
            body.result()
    supervisor.tell(Stage.STOPPED, "everything has stopped; the data stays")


def stop(data: Path, timeout_s: float = 90.0) -> StopResult:
    """Stop the stack that runs on `data` and return once it is gone; blocks. After `timeout_s` it is killed."""
    return asyncio.run(_stop(data, timeout_s))


async def _stop(data: Path, timeout_s: float) -> StopResult:
    pid = lock_holder(data)
    process = ProcessId.of(pid) if pid is not None else None
    if process is None:
        return StopResult.NOT_RUNNING
    process.signal(signal.SIGTERM)
    if await process.gone(timeout_s):
        return StopResult.STOPPED
    await process.end(())
    await end_leftovers(data / "run")
    return StopResult.KILLED


class _Supervisor:
    def __init__(self, options: UpOptions, on_progress: OnProgress, services: Services) -> None:
        self._options, self._on_progress, self._services = options, on_progress, services
        self._started_at = datetime.now(UTC)
        self._phase = Phase.STARTING
        self._supervisors: dict[str, ProcessSupervisor] = {}
        self._ports: dict[str, int] = {}
        self._admin_urls: dict[str, str] = {}
        self._there: Installation | None = None
        self._written = True

    def tell(self, stage: Stage, detail: str) -> None:
        """Report a progress line."""
        with suppress(OSError):  # the terminal is closed; the stack runs on
            self._on_progress(stage, detail)

    async def run(self) -> None:
        """Start everything and wait to be cancelled; stop everything, however it ends."""
        check_address(self._options.listen_host, (self._options.api_port, self._options.proxy_port))
        self.tell(Stage.SERVERS, "starting PostgreSQL, NATS and Valkey")
        users = embedded_users(self._options.agents)
        async with EmbeddedServers(self._options.data, users=users, on_change=self._changed) as servers:
            wanted: Sequence[Service] = ()
            try:
                for left in reversed(range(_STARTS)):
                    there = self._there = self._installation(servers)
                    self._supervisors = dict(servers.supervisors)
                    wanted = self._services(there, os.environ)
                    try:
                        await self._start(wanted, servers)
                        break
                    except StartFailedError as error:
                        await self._stop(wanted)
                        self._choose_other_ports(error, there, servers.ports, left)
                self._enter(Phase.RUNNING)
                self.tell(Stage.READY, f"API {there.api_url}, endpoints {there.proxy_url}")
                await self._keep_state_written()
            finally:
                self._enter(Phase.STOPPING)
                await self._stop(wanted)
                remove_state(servers.data)
                self.tell(Stage.STOPPING, "stopping PostgreSQL, NATS and Valkey")

    def _choose_other_ports(self, error: StartFailedError, there: Installation, ports: Ports, left: int) -> None:
        """Choose other ports if services could not start because theirs were taken meanwhile; else raise `error`.

        Raises PortTakenError for a requested port.
        """
        options, host = self._options, self._options.listen_host
        ports.give_back("manager", "appproxy", *(f"{name}.admin" for name in there.admin_ports))
        for port, asked, what in (
            (there.api_port, options.api_port, "the API"),
            (there.proxy_port, options.proxy_port, "the app-proxy"),
        ):
            if asked is not None and not ports.usable(asked, host):
                raise PortTakenError(port, host, what) from error
        taken = [port for port in (there.api_port, there.proxy_port) if not ports.usable(port, host)]
        taken += [port for port in there.admin_ports.values() if not ports.usable(port, HOST)]
        if not taken or not left:
            raise error
        words = ", ".join(map(str, taken))
        self.tell(Stage.PORT, f"somebody took port {words} meanwhile; starting the services again on others")

    def _installation(self, servers: EmbeddedServers) -> Installation:
        options = self._options
        return Installation(
            options=options,
            data=servers.data,
            database_url=servers.database_url,
            nats_url=servers.nats_url,
            redis_url=servers.redis_url,
            nats_passwords={user.name: servers.nats_user(user.name)[1] for user in servers.users},
            secret_key=servers.credentials.key_hex("manager.secret"),
            secrets_keys=servers.credentials.keys(MANAGER_SECRETS_KEYS),
            api_port=self._port(servers.ports, "manager", options.api_port, API_PORT, "the API"),
            proxy_port=self._port(servers.ports, "appproxy", options.proxy_port, PROXY_PORT, "the app-proxy"),
            admin_ports={name: servers.ports.take(f"{name}.admin") for name in admin_names(options.agents)},
            server_ports=tuple(servers.server_ports.values()),
        )

    def _port(self, ports: Ports, name: str, asked: int | None, usual: int, what: str) -> int:
        """Return the requested port, else the default or another one. Raises PortTakenError."""
        host = self._options.listen_host
        if asked is not None and not ports.usable(asked, host):
            raise PortTakenError(asked, host, what)
        port = ports.take(name, wanted=usual if asked is None else asked, host=host)
        if asked is not None and port != asked:  # just now
            raise PortTakenError(asked, host, what)
        if asked is None and port != usual:
            self.tell(Stage.PORT, f"port {usual} is taken; {what} listens on {port}")
        return port

    async def _start(self, services: Sequence[Service], servers: EmbeddedServers) -> None:
        for name, port in servers.server_ports.items():
            self._ports[name] = port
        self._enter(Phase.STARTING)
        for _, tier in _tiers(services, lambda service: service.start_tier):
            names = ", ".join(service.name for service in tier)
            self.tell(Stage.SERVICE, f"starting {names}")
            await start_all([self._supervise_service(service, servers) for service in tier])
            self._write()

    def _supervise_service(self, service: Service, servers: EmbeddedServers) -> ProcessSupervisor:
        store = DescriptorStore() if service.keeps_sockets else None
        env = service.env if store is None else {**service.env, "NOTIFY_SOCKET": store.address}
        supervisor = ProcessSupervisor(
            Program(
                name=service.name,
                command=Command(service.argv, env, cwd=servers.data, on_parent_death=signal.SIGTERM),
                ready=lambda: answers_200(service.ready_url),
                stop_steps=((signal.SIGTERM, service.stop_grace_s),),
                store=store,
            ),
            logs=servers.logs,
            run=servers.run,
            on_change=self._changed,
        )
        self._supervisors[service.name], self._ports[service.name] = supervisor, service.port
        self._admin_urls[service.name] = service.admin_url
        return supervisor

    async def _stop(self, services: Sequence[Service]) -> None:
        for _, tier in _tiers(services, lambda service: service.stop_tier):
            running = [self._supervisors[service.name] for service in tier if service.name in self._supervisors]
            if running:
                self.tell(Stage.STOPPING, "stopping " + ", ".join(supervisor.program.name for supervisor in running))
            await asyncio.gather(*(supervisor.stop() for supervisor in running))

    def _changed(self, name: str, what: str) -> None:
        self._write()
        if what == "ready":
            self.tell(Stage.SERVICE, f"{name} is ready")
            return
        supervisor = self._supervisors.get(name)
        log = f"; its log is {supervisor.log}" if supervisor is not None else ""
        self.tell(Stage(what), f"{name} {what}{log}")

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._write()

    async def _keep_state_written(self) -> None:
        """Retry, until cancelled, a write of the state that a full disk refused."""
        while True:
            await asyncio.sleep(_STATE_AGAIN_S)
            if not self._written:
                self._write()

    def _write(self) -> None:
        try:
            self._write_state()
            self._written = True
        except OSError as error:  # a full disk must not end the supervision
            self._written = False
            log.warning("state_not_written", error=str(error))

    def _write_state(self) -> None:
        there, me = self._there, ProcessId.of(os.getpid())
        if there is None or me is None:
            return
        write_state(
            StackState(
                phase=self._phase,
                pid=me.pid,
                ticks=me.ticks,
                boot=me.boot,
                started_at=self._started_at,
                data=there.data,
                runtime=self._options.runtime,
                agents=self._options.agents,
                simulate_gpus=self._options.simulate_gpus,
                listen_host=self._options.listen_host,
                api_url=there.api_url,
                proxy_url=there.proxy_url,
                admin_key_file=there.admin_key_file,
                processes=tuple(
                    ProcessState(
                        name=name,
                        pid=k.pid,
                        port=self._ports[name],
                        admin_url=self._admin_urls.get(name),
                        log=k.log,
                        restarts=k.restarts,
                    )
                    for name, k in self._supervisors.items()
                    if name in self._ports
                ),
            )
        )


def _tiers(services: Sequence[Service], key: Callable[[Service], int]) -> Iterator[tuple[int, list[Service]]]:
    for tier, members in groupby(sorted(services, key=key), key=key):
        yield tier, list(members)


@contextmanager
def _stop_on_signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set; a second signal changes nothing."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup`: outlive the terminal
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _given(event: asyncio.Event) -> Iterator[asyncio.Event]:
    yield event
