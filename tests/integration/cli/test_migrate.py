"""`headrace migrate` with a real database, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import sys

import asyncpg

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.migrate import load_migrations
from headrace.embedded.stack import EmbeddedServers
from tests.support.backends import with_database


async def migrate(url: str, *words: str) -> tuple[int | None, str, str]:
    """Run the command; return its exit code, output and errors."""
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.cli", "migrate", "--database-url", url, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await ran.communicate()
    return ran.returncode, out.decode(), err.decode()


async def empty(servers: EmbeddedServers) -> str:
    name = f"empty_{new_uuid().hex[-12:]}"
    admin = await asyncpg.connect(servers.database_url)
    await admin.execute(f"create database {name}")
    await admin.close()
    return with_database(servers.database_url, name)


async def test_a_database_is_migrated_once_and_what_was_applied_is_said(servers: EmbeddedServers) -> None:
    url = await empty(servers)
    code, out, _ = await migrate(url, "--json")
    assert (code, json.loads(out)["applied"]) == (0, [migration.number for migration in load_migrations()])
    code, out, _ = await migrate(url)
    assert (code, out.split(maxsplit=1)[1]) == (0, "nothing; it is up to date\n")


async def test_a_database_that_a_later_version_migrated_is_refused_in_words(servers: EmbeddedServers) -> None:
    url = await empty(servers)
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute("insert into schema_migrations (number, name, checksum) values (9999, 'later', 'x')")
    await connection.close()
    code, _, err = await migrate(url)
    assert code == 1
    assert "upgrade Headrace" in err
    assert "Traceback" not in err


async def test_a_database_that_refuses_or_is_not_there_is_said_in_words(servers: EmbeddedServers) -> None:
    code, _, err = await migrate(with_database(servers.database_url, "no_such_database"))
    assert (code, "the database refused: " in err) == (1, True)
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        code, _, err = await migrate(f"postgresql://u:secret@127.0.0.1:{unused.getsockname()[1]}/x")
    assert (code, "the database cannot be reached" in err) == (3, True)
    assert "secret" not in err
