"""The app-proxy ends and starts again, as a process, under load: nobody is refused while somebody keeps its listening sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headrace.appproxy.control.tables_on_disk import FOLDER, TableStore
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.common.contracts.messages.routes import RouteTable
from headrace.embedded.descriptors import DescriptorStore
from headrace.embedded.process import LAUNCHER, Command
from headrace.embedded.process_supervisor import ProcessSupervisor, Program
from headrace.embedded.readiness import answers_200
from tests.support.factories.route_tables import route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import NOWHERE, backend

REQUEST = b"GET /chat/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def environment(folder: Path, port: int, admin: int, *tables: RouteTable, workers: int = 1) -> dict[str, str]:
    """Return what an app-proxy is told that has these tables on disk and never sees a bus."""
    known = RouteTables()
    for one in tables:
        known.apply(one)
    (folder / FOLDER).mkdir(parents=True)
    await TableStore(folder / FOLDER).save(known)
    settings = {
        "NATS_URL": NOWHERE,
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": port,
        "ADMIN_PORT": admin,
        "DATA_DIR": folder,
        "WORKERS": workers,
        "SHUTDOWN_GRACE_S": 5,
    }
    return {**os.environ, **{f"HEADRACE_APPPROXY_{name}": str(value) for name, value in settings.items()}}


@asynccontextmanager
async def kept(folder: Path, *tables: RouteTable, workers: int) -> AsyncIterator[tuple[ProcessSupervisor, int]]:
    """An app-proxy that is started again whenever it ends, as `headrace up` does it; with its port."""
    port, admin = free_port(), free_port()
    store = DescriptorStore()
    env = await environment(folder / "data", port, admin, *tables, workers=workers)
    keeper = ProcessSupervisor(
        Program(
            name="appproxy",
            command=Command(
                (sys.executable, "-m", "headrace.appproxy"), {**env, "NOTIFY_SOCKET": store.address}, cwd=folder
            ),
            ready=lambda: answers_200(f"http://127.0.0.1:{admin}/readyz"),
            store=store,
        ),
        logs=folder,
        run=folder,
    )
    await keeper.start()
    try:
        yield keeper, port
    finally:
        await keeper.stop()


async def one(port: int) -> str:
    """Send one request on a connection of its own; return its status, or how it failed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        answer = await asyncio.wait_for(reader.read(), 90)  # it may wait for an app-proxy that starts on a busy machine
        writer.close()
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return type(error).__name__
    return answer[9:12].decode() or "closed"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_no_caller_is_refused_while_the_app_proxy_is_started_again(
    tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    own = free_port()
    async with (
        backend() as replica,
        kept(tmp_path, table("chat", routes=(route(port=replica.port),), port=own), workers=workers) as (
            keeper,
            port,
        ),
    ):
        told: Counter[str] = Counter()
        enough = asyncio.Event()
        await eventually(lambda: _asked(own))

        async def caller(to: int) -> None:
            while not enough.is_set():
                told[await one(to)] += 1

        async with asyncio.TaskGroup() as group:
            for to in (port, port, own, own):
                group.create_task(caller(to))
            for restarts in (1, 2):
                done = told.total()
                await eventually(lambda done=done: told.total() > done + 40)
                pid = keeper.pid
                assert pid is not None
                os.kill(pid, number)
                await eventually(lambda n=restarts: keeper.restarts == n and keeper.program.ready(), within_s=60)
            done = told.total()
            await eventually(lambda: told.total() > done + 40)
            enough.set()
        assert told == {"200": told.total()}, told
        assert len(replica.seen) == told.total() + 1


async def _asked(port: int) -> bool:
    return await one(port) == "200"


async def test_a_socket_unit_brings_the_port(tmp_path: Path) -> None:
    """As systemd does it: the socket is there before the app-proxy, which gets it as descriptor 3; who connects early waits."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port, admin = sock.getsockname()[1], free_port()
        async with backend() as replica:
            env = await environment(tmp_path / "data", port, admin, table("chat", routes=(route(port=replica.port),)))
            early = asyncio.create_task(one(port))
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    LAUNCHER,
                    str(os.getpid()),
                    "9",
                    "same",
                    f"web={sock.fileno()}",
                    sys.executable,
                    "-m",
                    "headrace.appproxy",
                ],
                pass_fds=[sock.fileno()],
                env=env,
                cwd=tmp_path,
            )
            try:
                assert await early == "200"
            finally:
                process.terminate()
                await asyncio.to_thread(process.wait)
            _, writer = await asyncio.open_connection("127.0.0.1", port)  # not refused: it waits for the next start
            writer.close()


async def test_at_the_limit_of_open_files_callers_hear_503_and_no_worker_ends(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    async with backend() as replica:
        env = await environment(tmp_path / "data", port, admin, table("chat", routes=(route(port=replica.port),)))
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -n 600; exec "$@"', "sh", sys.executable, "-m", "headrace.appproxy"],
            env=env,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            await eventually(lambda: answers_200(f"http://127.0.0.1:{admin}/readyz"))
            lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
            told: Counter[bytes] = Counter()
            for reader, writer in lines:
                writer.write(REQUEST.replace(b"Connection: close\r\n", b""))
                told[(await reader.readline())[9:12]] += 1
            assert told == {b"200": 230, b"503": 170}
            for _, writer in lines:
                writer.close()
            await eventually(lambda: _asked(port))
        finally:
            process.terminate()
            _, said = await asyncio.to_thread(process.communicate)
    assert said.count("downstream_limit_reduced") == 1
    assert said.count("worker_started") == 1
    assert "worker_died" not in said
