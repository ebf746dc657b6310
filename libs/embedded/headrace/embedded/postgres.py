"""The embedded PostgreSQL server: one cluster, one database `headrace` owned by a role of that name."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from headrace.common.runtime.files import write_atomically
from headrace.embedded.binaries import postgres_bin
from headrace.embedded.errors import EmbeddedError, StartFailedError
from headrace.embedded.identity import choose_identity, give
from headrace.embedded.logs import tail
from headrace.embedded.ports import HOST
from headrace.embedded.proc import ProcessId
from headrace.embedded.process import Command, run_to_end
from headrace.embedded.process_supervisor import Program

SUPERUSER: Final = "postgres"
ROLE: Final = "headrace"
DATABASE: Final = "headrace"

STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))
"""Fast shutdown with a checkpoint; then immediate, which recovers from the WAL at the next start."""

_STATUS_LINE: Final = 8
"""Line of postmaster.pid (PostgreSQL's LOCK_FILE_LINE_PM_STATUS)."""
_ENV = {"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin"}
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # passwords always, and no limit on the length of the data folder's path
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "io_method": "sync",  # no worker processes for a small database
    "io_max_concurrency": "1",  # unused with io_method sync; each of max_connections reserves shared memory for it
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True, slots=True)
class PostgresFacts:
    """Parameters of the server."""

    data: Path
    """Folder of the cluster; created at the first start."""
    port: int
    superuser_password: str
    password: str
    log: Path
    identity: str | None = None
    """None: chosen at the start; see identity.py."""
    durable: bool = True
    """False loses data when the *machine* dies, never when the process does; for tests."""

    @property
    def url(self) -> str:
        """URL for the role `headrace`, which owns the database and may create others."""
        return f"postgresql://{ROLE}:{self.password}@{HOST}:{self.port}/{DATABASE}"


async def postgres_program(facts: PostgresFacts) -> Program:
    """Return the server as a Program, with its cluster created. Raises StartFailedError, ServerMissingError."""
    binaries = postgres_bin()
    identity = facts.identity or await choose_identity(binaries / "postgres", facts.log)
    if facts.data.exists():
        await asyncio.to_thread(give, facts.data, identity)
    else:
        await _make_cluster(facts, binaries, identity)
    settings = dict(_SETTINGS, port=str(facts.port), fsync="on" if facts.durable else "off")
    arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        # Immediate shutdown when the parent dies: certain and quick, and it removes shared memory and pid file.
        command=Command(
            (str(binaries / "postgres"), "-D", str(facts.data), *arguments),
            _ENV,
            on_parent_death=signal.SIGQUIT,
            identity=identity,
        ),
        ready=lambda: _ready(facts),
        prepare=lambda: _clear_stale_pid(facts.data),
        stop_steps=STOP_STEPS,
        restart_reason=lambda: shutting_down(facts.data),
    )


async def _make_cluster(facts: PostgresFacts, binaries: Path, identity: str) -> None:
    """Create the cluster in a temporary folder and rename it, so that an interrupted initdb is repeated."""
    new = facts.data.with_name(f"{facts.data.name}.new")
    await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
    new.mkdir(mode=0o700)
    password_file = facts.data.with_name(f"{facts.data.name}.password")
    write_atomically(password_file, facts.superuser_password + "\n")
    give(new, identity)
    give(password_file, identity)
    command = Command(
        (
            *(str(binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, "-E", "UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=trust"),
            *("--auth-host=scram-sha-256", f"--pwfile={password_file}", "--no-instructions"),
            *(() if facts.durable else ("--no-sync",)),
        ),
        _ENV,
        identity=identity,
    )
    try:
        code = await run_to_end(command, facts.log, timeout_s=60)
    finally:
        password_file.unlink(missing_ok=True)
    if code != 0:
        raise StartFailedError("postgres", f"could not be initialised ({code})", log=facts.log, tail=tail(facts.log))
    new.rename(facts.data)


async def _clear_stale_pid(data: Path) -> None:
    """Stop a server that still runs on `data`, and remove a pid file that names an unrelated process.

    PostgreSQL itself removes one whose process is gone; but it takes any living process for a server, and after the
    restart of a container small process ids are soon reused.
    """
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    process = ProcessId.of(pid)
    if process is None:
        return
    if _serves(pid, data):
        await process.end(STOP_STEPS)
    else:
        file.unlink(missing_ok=True)


def _serves(pid: int, data: Path) -> bool:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return words[0].endswith(b"/postgres") and os.fsencode(data) in words
    return False


def shutting_down(data: Path) -> str | None:
    """Return why the server must be restarted if someone else asked it to shut down, else None.

    A smart shutdown (SIGTERM) accepts no new connections, and waits for as long as pools hold theirs.
    """
    with suppress(OSError):
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        if len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1].strip() == "stopping":
            return "it was told to shut down, and waits for its clients"
    return None


async def _ready(facts: PostgresFacts) -> bool:
    """Return True if the server answers as `headrace`; creates role and database the first time."""
    try:
        async with asyncio.timeout(2):
            await _make_database(facts)
    except asyncpg.InvalidPasswordError as error:
        raise EmbeddedError(f"the remembered passwords are not those of the database in {facts.data}") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False  # starting up or recovering; the time-out error shows the log
    return True


async def _make_database(facts: PostgresFacts) -> None:
    connection = await asyncpg.connect(
        host=HOST, port=facts.port, user=SUPERUSER, password=facts.superuser_password, database="postgres", ssl=False
    )
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
            # DDL takes no parameters; the password is letters and digits by construction.
            assert facts.password.isalnum()  # noqa: S101 - a broken invariant of our own, not input
            await connection.execute(f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{facts.password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    finally:
        await connection.close()
