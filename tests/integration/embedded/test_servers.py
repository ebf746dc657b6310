"""The three real servers: data, ports and passwords survive; deaths are repaired; nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import stat
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.js.api import StreamConfig
from redis.asyncio import Redis

from headrace.common.db.pool import open_pool
from headrace.embedded import postgres
from headrace.embedded.blocking import servers_in_thread
from headrace.embedded.errors import AlreadyRunningError, EmbeddedError, StartFailedError
from headrace.embedded.identity import ACCOUNT, NAMESPACE
from headrace.embedded.ports import HOST
from headrace.embedded.process import SAME
from headrace.embedded.stack import EmbeddedServers
from tests.support.wait import eventually, until
from tests.support.worlds.processes import line, living, python

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to choose an identity")

KEEP_RUNNING = """
import asyncio, structlog, sys
from pathlib import Path
from headrace.embedded.stack import EmbeddedServers

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    async with EmbeddedServers(Path(sys.argv[1]), identity=(sys.argv[2:] or [None])[0]) as servers:
        print("up", servers.database_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def write(servers: EmbeddedServers) -> None:
    """Store one thing in each server."""
    con = await asyncpg.connect(servers.database_url)
    await con.execute("CREATE TABLE IF NOT EXISTS t (x int); INSERT INTO t VALUES (42)")
    await con.close()
    user, password = servers.nats_user("manager")
    bus = await nats.connect(servers.nats_url, user=user, password=password)
    js = bus.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.*"], max_msgs_per_subject=1))
    await js.publish("s.a", b"42")
    await bus.close()
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.set("x", "42")


async def assert_kept(servers: EmbeddedServers) -> None:
    """What write() stored is there."""
    con = await asyncpg.connect(servers.database_url)
    assert await con.fetchval("SELECT max(x) FROM t") == 42
    await con.close()
    user, password = servers.nats_user("manager")
    bus = await nats.connect(servers.nats_url, user=user, password=password)
    assert (await bus.jetstream().get_last_msg("S", "s.a")).data == b"42"
    await bus.close()
    async with Redis.from_url(servers.redis_url) as redis:
        assert await redis.get("x") == b"42"


async def test_start_stop_start_keeps_data_ports_and_passwords(data: Path) -> None:
    async with EmbeddedServers(data) as servers:
        await write(servers)
        urls = (servers.database_url, servers.nats_url, servers.redis_url, servers.nats_user("agent-1"))
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        for file in (data / "secrets.json", data / "valkey/valkey.conf", *(data / "logs").iterdir()):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert living(data) == {}
    async with EmbeddedServers(data) as servers:
        assert urls == (servers.database_url, servers.nats_url, servers.redis_url, servers.nats_user("agent-1"))
        await assert_kept(servers)
    for log in (data / "logs").iterdir():
        text = log.read_text()
        assert not any(password in text for password in re.findall(r"p[0-9a-f]{40}", str(urls))), log


@pytest.mark.parametrize("name", ["postgres", "nats", "valkey"])
async def test_a_killed_server_comes_back_on_its_port_with_its_data(data: Path, name: str) -> None:
    events: list[tuple[str, str]] = []
    restarted = asyncio.Event()

    def on_change(server: str, what: str) -> None:
        events.append((server, what))
        if what == "restarted":
            restarted.set()

    async with EmbeddedServers(data, on_change=on_change) as servers:
        await write(servers)
        supervisor = servers.supervisors[name]
        old = supervisor.pid
        assert old is not None
        os.kill(old, signal.SIGKILL)
        async with asyncio.timeout(60):
            await restarted.wait()
        await eventually(supervisor.program.ready)
        assert supervisor.pid not in (None, old)
        await assert_kept(servers)
        assert [event for event in events if event[1] != "ready"] == [(name, "ended"), (name, "restarted")]
        assert supervisor.restarts == 1
    assert living(data) == {}


@pytest.mark.parametrize("ordinary", [False, True], ids=["this user", "ordinary user"])
def test_kill_9_of_the_parent_leaves_no_server_and_loses_nothing(data: Path, *, ordinary: bool) -> None:
    if ordinary and os.geteuid() == 0:
        data.mkdir()
        os.chown(data, 65534, 65534)
    with python(KEEP_RUNNING, str(data), ordinary=ordinary) as first:
        up = line(first)
        assert up.startswith("up ")
        assert len(living(data)) > 3
        first.kill()
        first.wait()
        until(lambda: living(data) == {}, "all children gone")
    with python(KEEP_RUNNING, str(data), ordinary=ordinary) as second:
        assert line(second) == up  # the same port, after recovery
        second.kill()
    until(lambda: living(data) == {}, "all children gone")


def test_the_next_start_does_not_wait_for_the_last_one_to_be_gone_first(data: Path) -> None:
    with python(KEEP_RUNNING, str(data)) as first:
        up = line(first)
        first.kill()
        first.wait()
        with python(KEEP_RUNNING, str(data)) as second:
            assert line(second) == up
            second.kill()
    until(lambda: living(data) == {}, "all children gone")


async def test_a_second_start_on_the_same_folder_is_refused_with_the_pid(data: Path) -> None:
    async with EmbeddedServers(data, only={"valkey"}):
        with pytest.raises(AlreadyRunningError, match=f"already in use by process {os.getpid()}"):
            await EmbeddedServers(data, only={"valkey"}).__aenter__()
        async with (
            EmbeddedServers(data.with_name("other"), only={"valkey"}) as other,  # another folder is another stack
            Redis.from_url(other.redis_url) as redis,
        ):
            assert await redis.ping()


async def test_a_port_that_somebody_else_took_is_chosen_anew(data: Path) -> None:
    async with EmbeddedServers(data, only={"valkey"}) as servers:
        port = servers.server_ports["valkey"]
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind((HOST, port))
        thief.listen()
        async with EmbeddedServers(data, only={"valkey"}) as servers:
            assert servers.server_ports["valkey"] != port
            async with Redis.from_url(servers.redis_url) as redis:
                assert await redis.ping()


async def test_a_smart_shutdown_that_waits_for_clients_is_made_a_fast_one_and_the_server_started_again(
    data: Path,
) -> None:
    heard: list[str] = []
    async with EmbeddedServers(data, only=["postgres"], on_change=lambda _, what: heard.append(what)) as servers:
        held = await asyncpg.connect(servers.database_url)  # who holds it asks nothing
        pid = servers.supervisors["postgres"].pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        await eventually(lambda: "restarted" in heard)

        async def answers() -> bool:
            try:
                con = await asyncpg.connect(servers.database_url)
            except (OSError, asyncpg.PostgresError):
                return False
            await con.close()
            return True

        await eventually(answers)
        held.terminate()


async def test_a_pool_lets_go_of_a_server_that_shuts_down(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "shutting_down", lambda _: None)  # as a server that nobody looks after
    async with (
        EmbeddedServers(data, only=["postgres"]) as servers,
        open_pool(servers.database_url, size=2) as pool,
    ):
        async with pool.acquire(), pool.acquire():
            pass
        status = data / "postgres" / "postmaster.pid"
        pid = servers.supervisors["postgres"].pid
        assert pid is not None
        async with pool.acquire() as used:
            async with pool.acquire() as other:
                await other.close()  # the next one to be made is refused
            os.kill(pid, signal.SIGTERM)
            await eventually(lambda: "stopping" in status.read_text())
            with pytest.raises(asyncpg.CannotConnectNowError):
                await pool.fetchval("select 1")
            await used.fetchval("select 1")  # what is in hand goes on
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await pool.fetchval("select 1")
        await eventually(lambda: servers.supervisors["postgres"].pid != pid)


async def test_only_some_servers(data: Path) -> None:
    async with EmbeddedServers(data, only={"nats"}, durable=False) as servers:
        assert set(servers.supervisors) == {"nats"}
        assert not (data / "postgres").exists()
    with pytest.raises(ValueError, match="mysql"):
        EmbeddedServers(data, only={"mysql"})


async def test_the_pid_file_of_an_unrelated_living_process_is_no_obstacle(data: Path) -> None:
    async with EmbeddedServers(data, only={"postgres"}):
        lines = (data / "postgres/postmaster.pid").read_text().splitlines()
    (data / "postgres/postmaster.pid").write_text("\n".join([str(_unrelated()), *lines[1:]]) + "\n")
    async with EmbeddedServers(data, only={"postgres"}) as servers:
        con = await asyncpg.connect(servers.database_url)
        await con.close()


def _unrelated() -> int:
    """A living process that PostgreSQL would take for another server: not itself, its parent or grandparent."""
    own = {os.getpid(), os.getppid()}
    return next(
        int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and int(p.name) > 1 and int(p.name) not in own
    )


async def test_an_interrupted_first_start_is_made_good(data: Path) -> None:
    (data / "postgres.new").mkdir(parents=True)
    (data / "postgres.new/PG_VERSION").write_text("18\n")
    (data / "lock").touch()
    async with EmbeddedServers(data, only={"postgres"}) as servers:
        con = await asyncpg.connect(servers.database_url)
        assert await con.fetchval("SELECT current_user") == "headrace"
        assert not await con.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user")
        await con.close()


async def test_the_role_may_clone_databases_and_the_passwords_are_needed(data: Path) -> None:
    async with EmbeddedServers(data, only={"postgres"}, durable=False) as servers:
        con = await asyncpg.connect(servers.database_url)
        await con.execute("CREATE DATABASE one TEMPLATE template0")
        assert await con.fetchval("SELECT uuidv7()") is not None
        await con.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(servers.database_url.replace("headrace:", "headrace:x"))


async def test_a_server_that_cannot_start_says_why_and_nothing_is_left(data: Path) -> None:
    async with EmbeddedServers(data):
        pass
    shutil.rmtree(data / "postgres/global")
    with pytest.raises(StartFailedError, match="postgres ended with exit code") as failed:
        await EmbeddedServers(data).__aenter__()
    assert "global" in failed.value.tail
    assert living(data) == {}
    with python(KEEP_RUNNING, str(data)) as other:  # the lock was given back
        assert line(other) == ""
        assert other.wait() != 0


async def test_lost_passwords_are_named_as_the_reason(data: Path) -> None:
    async with EmbeddedServers(data, only={"postgres"}, durable=False):
        pass
    (data / "secrets.json").unlink()
    with pytest.raises(EmbeddedError, match="remembered passwords are not those of the database"):
        await EmbeddedServers(data, only={"postgres"}, durable=False).__aenter__()
    assert living(data) == {}


@as_root
@pytest.mark.parametrize("identity", [NAMESPACE, ACCOUNT])
async def test_root_runs_postgres_in_either_way_and_may_change_it(data: Path, identity: str) -> None:
    async with EmbeddedServers(data, identity=identity) as servers:
        await write(servers)
        pid = servers.supervisors["postgres"].pid
        owner = Path(f"/proc/{pid}").stat().st_uid if identity == ACCOUNT else data.stat().st_uid
        assert owner == (65534 if identity == ACCOUNT else 0)
    async with EmbeddedServers(data, identity=ACCOUNT if identity == NAMESPACE else NAMESPACE) as servers:
        await assert_kept(servers)


@as_root
@pytest.mark.parametrize("identity", [NAMESPACE, ACCOUNT])
def test_postgres_under_another_identity_does_not_outlive_its_parent(data: Path, identity: str) -> None:
    with python(KEEP_RUNNING, str(data), identity) as parent:
        assert line(parent).startswith("up ")
        parent.kill()
        parent.wait()
        until(lambda: living(data) == {}, "all children gone")


@as_root
async def test_postgres_would_refuse_root_as_itself(data: Path) -> None:
    with pytest.raises(StartFailedError, match="could not be initialised"):
        await EmbeddedServers(data, only={"postgres"}, identity=SAME).__aenter__()


def test_without_an_event_loop(data: Path) -> None:
    with servers_in_thread(data, only={"nats", "valkey"}, durable=False) as servers:
        with socket.create_connection((HOST, servers.server_ports["nats"]), timeout=5) as connection:
            assert connection.recv(4) == b"INFO"
        with pytest.raises(AlreadyRunningError), servers_in_thread(data, only={"nats"}):
            pass
    assert living(data) == {}
