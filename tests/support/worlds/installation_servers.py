"""PostgreSQL, NATS and Valkey on the files that `headrace init` makes, all behind TLS; also as a program of its own.

python -m tests.support.worlds.installation_servers FOLDER DATA
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from headrace.embedded.stack import EmbeddedServers
from tests.support.ports import free_port
from tests.support.tls_relay import tls_relay
from tests.support.worlds.installation import certificate, nats_running, valkey_running
from tests.support.worlds.installed_nats import InstalledNats, nats_cluster_running, servers_of

READY: Final = "servers are ready"


@asynccontextmanager
async def servers(folder: Path, data: Path, *, database: int, redis: int) -> AsyncIterator[list[InstalledNats]]:
    """Run the servers as the files in `folder` say. `database`, `redis`: ports of PostgreSQL and Valkey there.

    Yields those of a NATS cluster.
    """
    plain_redis = free_port()
    async with EmbeddedServers(data / "database", only={"postgres"}, durable=False) as postgres:
        superuser = await asyncpg.connect(
            host="127.0.0.1",
            port=postgres.server_ports["postgres"],
            user="postgres",
            password=postgres.credentials.password("postgres.superuser"),
            database="headrace",
            ssl=False,
        )
        await superuser.execute((folder / "postgres/roles.sql").read_text())
        may = await superuser.fetchrow(
            "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = 'headrace'"
        )
        assert tuple(may) == (False, False, False)
        await superuser.close()
        async with (
            tls_relay(database, postgres.server_ports["postgres"], certificate(folder, "database"), postgres=True),
            tls_relay(redis, plain_redis, certificate(folder, "redis")),
        ):
            with ExitStack() as stack:
                stack.enter_context(valkey_running(folder, data, plain_redis))
                if servers_of(folder, data):
                    yield stack.enter_context(nats_cluster_running(folder, data))
                else:
                    stack.enter_context(nats_running(folder, data))
                    yield []


async def _run(folder: Path, data: Path) -> None:
    """Run the servers on their usual ports until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with servers(folder, data, database=5432, redis=6379):
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), Path(sys.argv[2])))
