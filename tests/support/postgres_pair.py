"""Two real PostgreSQL servers: a primary, and a standby that a test promotes."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from headrace.embedded.binaries import postgres_bin
from headrace.embedded.identity import give
from headrace.embedded.postgres import SUPERUSER, PostgresFacts, postgres_program
from headrace.embedded.process import Child, Command, run_to_end
from tests.support.ports import free_port
from tests.support.wait import eventually

REPLICATED = ("wal_level=replica", "max_wal_senders=4", "hot_standby=on")
"""What the embedded server's settings leave out."""


@dataclass
class PostgresPair:
    """The two servers."""

    primary: Server
    standby: Server

    @property
    def url(self) -> str:
        """Both servers, as a setting names them."""
        first, second = (server.facts.url for server in (self.primary, self.standby))
        user, _, rest = first.rpartition("@")
        hosts, _, database = rest.partition("/")
        other = second.rpartition("@")[2].partition("/")[0]
        return f"{user}@{hosts},{other}/{database}?target_session_attrs=read-write"

    async def has_followed(self) -> bool:
        """Return whether the standby has everything that the primary has now."""
        written = await self.primary.run("select pg_current_wal_lsn()::text")
        return bool(await self.standby.run(f"select pg_last_wal_replay_lsn() >= '{written}'"))


@dataclass
class Server:
    """One of them."""

    facts: PostgresFacts
    command: Command
    child: Child | None = None

    def start(self) -> None:
        """Start it."""
        self.child = Child.start(self.command, self.facts.log)

    async def kill(self) -> None:
        """End it at once, without a checkpoint."""
        assert self.child is not None
        await self.child.stop(((signal.SIGQUIT, 10.0),))

    async def run(self, statement: str) -> object:
        """Run a statement as the superuser, and return its first value."""
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=self.facts.port,
            user=SUPERUSER,
            password=self.facts.superuser_password,
            database="postgres",
            timeout=10,
        )
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def postgres_pair(folder: Path) -> AsyncIterator[PostgresPair]:
    """Run both, the standby with all that the primary has."""
    facts = PostgresFacts(
        data=folder / "primary",
        port=free_port(),
        superuser_password="s" * 24,
        password="p" * 24,
        log=folder / "primary.log",
        durable=False,
    )
    async with AsyncExitStack() as stack:
        program = await postgres_program(facts)
        primary = Server(facts, replace(program.command, argv=(*program.command.argv, *_settings())))
        primary.start()
        stack.push_async_callback(primary.kill)
        await eventually(program.ready)
        other = replace(facts, data=folder / "standby", port=free_port(), log=folder / "standby.log")
        standby = Server(other, await _copied(primary, other))
        standby.start()
        stack.push_async_callback(standby.kill)
        await eventually(lambda: _follows(primary))
        yield PostgresPair(primary, standby)


def _settings() -> tuple[str, ...]:
    return tuple(word for setting in REPLICATED for word in ("-c", setting))


async def _copied(primary: Server, other: PostgresFacts) -> Command:
    """Copy the primary, and return the command of the standby."""
    identity = primary.command.identity
    other.data.mkdir(mode=0o700)
    give(other.data, identity)
    words = (
        str(postgres_bin() / "pg_basebackup"),
        "-D",
        str(other.data),
        "-R",
        "--checkpoint=fast",
        "-h",
        "127.0.0.1",
        "-U",
        SUPERUSER,
    )
    password = {**primary.command.env, "PGPASSWORD": other.superuser_password}
    copying = replace(primary.command, argv=(*words, "-p", str(primary.facts.port)), env=password)
    assert await run_to_end(copying, other.log, timeout_s=60) == 0, other.log.read_text()
    ours, theirs = str(primary.facts.data), str(other.data)
    port, new = f"port={primary.facts.port}", f"port={other.port}"
    return replace(
        primary.command,
        argv=tuple({ours: theirs, port: new}.get(word, word) for word in primary.command.argv),
    )


async def _follows(primary: Server) -> bool:
    return bool(await primary.run("select count(*) from pg_stat_replication where state = 'streaming'"))
