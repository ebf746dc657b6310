"""PostgreSQL, NATS and Valkey as child processes on one data folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Final

from headrace.common.bus.permissions import BusUser, embedded_users
from headrace.embedded.credentials import Credentials
from headrace.embedded.logs import rotate
from headrace.embedded.nats import nats_program
from headrace.embedded.ports import HOST, Ports
from headrace.embedded.postgres import PostgresFacts, postgres_program
from headrace.embedded.private import FolderLock, data_folder, private_folder
from headrace.embedded.process_supervisor import ProcessSupervisor, Program, start_all
from headrace.embedded.records import end_leftovers
from headrace.embedded.valkey import valkey_program

SERVERS: Final = ("postgres", "nats", "valkey")


class EmbeddedServers:
    """The servers, running inside the `async with`, and restarted when one exits (same port, same data).

    `data` becomes a folder with mode 0700 for passwords, ports, logs and the servers' data, which are reused at the
    next start. It is locked while the servers run. No server outlives this process, however it ends; nor the *thread*
    that entered, so enter in the main thread or use `servers_in_thread`.

    Entering raises AlreadyRunningError, FolderNotUsableError, ServerMissingError or StartFailedError, and then nothing
    is left running.
    """

    def __init__(
        self,
        data: Path,
        *,
        only: Collection[str] = SERVERS,
        users: Sequence[BusUser] = embedded_users(1),
        durable: bool = True,
        identity: str | None = None,
        on_change: Callable[[str, str], None] = lambda _name, _what: None,
    ) -> None:
        """`only`: which servers. `users`: the bus users. `durable=False`: faster, for tests.

        `identity`: PostgreSQL's account; None chooses one. `on_change(name, what)` is called with "ready", "ended",
        "restarted".
        """
        unknown = set(only) - set(SERVERS)
        if unknown:
            raise ValueError(f"unknown servers {sorted(unknown)}; there are {', '.join(SERVERS)}")
        self._wanted, self._only, self._users = data, frozenset(only), tuple(users)
        self._durable, self._identity, self._on_change = durable, identity, on_change
        self._open = AsyncExitStack()
        self._urls: dict[str, str] = {}
        self._server_ports: dict[str, int] = {}
        self.supervisors: dict[str, ProcessSupervisor] = {}

    async def __aenter__(self) -> EmbeddedServers:
        try:
            self.data = data_folder(self._wanted)
            self._open.enter_context(FolderLock(self.data))
            self.credentials = Credentials(self.data / "secrets.json")
            self.ports = self._open.enter_context(closing(Ports(self.data / "ports.json")))
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._open.aclose()

    @property
    def users(self) -> tuple[BusUser, ...]:
        """The users of the bus."""
        return self._users

    @property
    def server_ports(self) -> dict[str, int]:
        """Port of each server, on 127.0.0.1."""
        return dict(self._server_ports)

    @property
    def logs(self) -> Path:
        """The folder of the log files, `<server>.log` each."""
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Folder of the children's pid files."""
        return self.data / "run"

    @property
    def database_url(self) -> str:
        """URL with user and password, for a role that owns the database and may create others."""
        return self._urls["postgres"]

    @property
    def nats_url(self) -> str:
        """URL without credentials; see nats_user()."""
        return self._urls["nats"]

    @property
    def redis_url(self) -> str:
        """URL with the password."""
        return self._urls["valkey"]

    def nats_user(self, name: str) -> tuple[str, str]:
        """Return user and password of the bus user `name`. Raises KeyError if there is none."""
        if all(user.name != name for user in self._users):
            raise KeyError(name)
        return name, self._nats_password(name)

    def _nats_password(self, name: str) -> str:
        return self.credentials.password(f"nats.{name}")

    async def _start(self) -> None:
        for folder in (self.logs, self.run):
            private_folder(folder)
        await end_leftovers(self.run)  # before ports are chosen: leftovers may hold them
        programs = [await self._program(name) for name in SERVERS if name in self._only]
        self.supervisors = {
            program.name: ProcessSupervisor(program, logs=self.logs, run=self.run, on_change=self._on_change)
            for program in programs
        }
        self._open.push_async_callback(self._stop)
        await start_all(self.supervisors.values())

    async def _stop(self) -> None:
        """Stop the servers together: none needs another."""
        await asyncio.gather(*(supervisor.stop() for supervisor in self.supervisors.values()))

    async def _program(self, name: str) -> Program:
        port = self._server_ports[name] = self.ports.take(name)
        if name == "nats":
            passwords = {user: self._nats_password(user.name) for user in self._users}
            self._urls[name] = f"nats://{HOST}:{port}"
            return nats_program(data=self.data / name, log=self.logs / "nats.log", port=port, passwords=passwords)
        if name == "valkey":
            password = self.credentials.password(name)
            self._urls[name] = f"redis://:{password}@{HOST}:{port}/0"
            return valkey_program(data=self.data / name, port=port, password=password)
        facts = PostgresFacts(
            data=self.data / name,
            port=port,
            superuser_password=self.credentials.password("postgres.superuser"),
            password=self.credentials.password(name),
            log=self.logs / "postgres-init.log",
            identity=self._identity,
            durable=self._durable,
        )
        rotate(facts.log)
        self._urls[name] = facts.url
        return await postgres_program(facts)
