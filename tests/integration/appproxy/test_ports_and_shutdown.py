"""Own ports come and go with the tables; a stop lets requests finish, then cuts them with a word; readiness tells."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.support.factories.route_tables import route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_request, running


async def test_a_port_of_its_own(world: AppProxyWorld) -> None:
    async with backend() as replica:
        port, other = free_port(), free_port()
        first = table("chat", port=port, routes=(route(port=replica.port),))
        world.apply(first)

        async def answered(at: int) -> bool:
            try:
                return (await world.http.get(f"http://127.0.0.1:{at}/any/path?x")).text == "GET /any/path?x"
            except httpx.ConnectError:
                return False

        await eventually(lambda: answered(port))
        world.apply(first.model_copy(update={"generation": 2, "port": other}))
        await eventually(lambda: answered(other))
        await eventually(lambda: _refuses(port))
        world.apply(first.model_copy(update={"generation": 3, "removed": True}))
        await eventually(lambda: _refuses(other))


async def _refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the queue as the listener closed
        return False
    writer.close()
    return False


async def test_an_own_port_that_closes_lets_its_requests_finish(world: AppProxyWorld) -> None:
    go = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a")
        await go.wait()
        await response.write(b"b")
        return response

    async with backend(slow) as replica:
        port = free_port()
        first = table("chat", port=port, routes=(route(port=replica.port),))
        world.apply(first)

        async def call() -> httpx.Response | None:
            try:
                return await world.http.get(f"http://127.0.0.1:{port}/")
            except httpx.ConnectError:
                return None

        held = asyncio.create_task(eventually(call))
        await eventually(lambda: len(replica.seen) == 1)
        world.apply(first.model_copy(update={"generation": 2, "removed": True}))
        await eventually(lambda: _refuses(port))
        go.set()
        answer = await held
        assert answer.text == "ab"


async def test_a_taken_port_is_a_warning_and_is_tried_again(world: AppProxyWorld) -> None:
    taken = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    world.apply(table("chat", port=port))
    await eventually(lambda: port in world.proxy.listeners.failed)
    ready = await world.http.get(f"{world.admin}/readyz")
    assert ready.status_code == 200
    assert f"{port}: " in ready.json()["warnings"]["listeners"]
    taken.close()
    await taken.wait_closed()
    world.proxy.listeners.poke()
    await eventually(lambda: not world.proxy.listeners.failed)


async def test_a_reserved_port_is_not_opened_even_while_nobody_listens_there(tmp_path: Path) -> None:
    """What listens there, the bus for example, may be started anew just now."""
    port = free_port()
    async with running(tmp_path, reserved_ports=(port,)) as world:
        world.apply(table("chat", port=port))
        await eventually(lambda: port in world.proxy.listeners.failed)
        assert world.proxy.listeners.failed[port] == "something else of the installation listens there"
        assert await _refuses(port)


async def test_readiness_without_tables_and_without_a_bus(world: AppProxyWorld) -> None:
    ready = await world.http.get(f"{world.admin}/readyz")
    assert (ready.status_code, list(ready.json()["failing"])) == (503, ["tables"])
    world.apply(table("chat"))
    ready = await world.http.get(f"{world.admin}/readyz")
    assert (ready.status_code, list(ready.json()["warnings"])) == (200, ["bus"])


async def test_a_taken_shared_port_is_fatal(tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with taken:
        with pytest.raises(OSError, match="in use"):
            async with running(tmp_path / "data", listen_port=taken.sockets[0].getsockname()[1]):
                pass


async def test_stop_waits_then_cuts_with_an_explicit_error(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def work(request: web.Request) -> web.StreamResponse:
        if request.path == "/none":
            await asyncio.Event().wait()
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream" if request.path == "/sse" else "text/plain"}
        )
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await (finish if request.path == "/quick" else asyncio.Event()).wait()
        return response

    async with backend(work) as replica:
        async with running(tmp_path / "data", shutdown_grace_s=4) as world:
            world.apply(table("chat", routes=(route(port=replica.port),)))
            calls = {
                path: asyncio.create_task(
                    raw_request(world.port, f"GET /chat{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                )
                for path in ("/none", "/sse", "/text", "/quick")
            }
            await eventually(lambda: len(replica.seen) == 4)
            keep = await asyncio.open_connection("127.0.0.1", world.port)
            world.stop.set()

            async def not_ready() -> bool:
                return (await world.http.get(f"{world.admin}/readyz")).status_code == 503

            await eventually(not_ready)
            await eventually(lambda: _refuses(world.port))
            finish.set()
            assert (await calls["/quick"]).endswith(b"0\r\n\r\n")
            none, sse, text = [await calls[p] for p in ("/none", "/sse", "/text")]
            assert none.startswith(b"HTTP/1.1 503 ")
            assert b'"shutting-down"' in none
            assert b"event: error" in sse
            assert b'"shutting-down"' in sse
            for broken in (sse, text):
                assert b"data: 1" in broken
                assert not broken.endswith(b"0\r\n\r\n")
            keep[1].close()
            await world.ended
        assert world.open_requests == 0


async def test_what_is_open_goes_on_in_both_directions_during_the_grace(tmp_path: Path) -> None:
    async with (
        backend() as replica,
        serve(echo, "127.0.0.1", 0) as socket_server,
        running(tmp_path / "data", shutdown_grace_s=60) as world,
    ):
        world.apply(table("chat", routes=(route(1, port=replica.port),)))
        world.apply(table("ws", routes=(route(2, port=next(iter(socket_server.sockets)).getsockname()[1]),)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b"POST /chat/up HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        socket = await connect(f"ws://127.0.0.1:{world.port}/ws/")
        await eventually(lambda: len(replica.seen) == 1)
        world.stop.set()
        await eventually(lambda: _refuses(world.port))
        writer.write(b"def")
        answer = await asyncio.wait_for(reader.read(), 60)  # ends: it is the last on its connection
        assert answer.endswith(b"POST /up")
        assert b"Connection: close" in answer
        assert replica.bodies == [b"abcdef"]
        await socket.send("still here")
        assert await socket.recv() == "still here"
        await socket.close(4000, "bye")
        writer.close()
        await asyncio.wait_for(asyncio.shield(world.ended), 60)


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def test_the_process_serves_from_disk_with_everybody_away_and_stops_on_sigterm(tmp_path: Path) -> None:
    async with backend() as replica:
        async with running(tmp_path) as world:
            world.apply(table("chat", routes=(route(port=replica.port),)))
        port, admin = free_port(), free_port()
        env = {
            **os.environ,
            "HEADRACE_APPPROXY_ID": "proxy-1",
            "HEADRACE_APPPROXY_NATS_URL": "nats://127.0.0.1:1",
            "HEADRACE_APPPROXY_LISTEN_HOST": "127.0.0.1",
            "HEADRACE_APPPROXY_LISTEN_PORT": str(port),
            "HEADRACE_APPPROXY_ADMIN_PORT": str(admin),
            "HEADRACE_APPPROXY_DATA_DIR": str(tmp_path),
            "HEADRACE_APPPROXY_LOG_FORMAT": "json",
        }
        with (tmp_path / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "headrace.appproxy", env=env, stdout=log, stderr=log
            )
        try:
            async with httpx.AsyncClient(verify=False, timeout=60) as http:

                async def ready() -> bool:
                    try:
                        return (await http.get(f"http://127.0.0.1:{admin}/readyz")).status_code == 200
                    except httpx.ConnectError:
                        return False

                await eventually(ready)
                assert (await http.get(f"http://127.0.0.1:{port}/chat/x?token=s3cret")).text == "GET /x?token=s3cret"
                assert (await http.get(f"http://127.0.0.1:{port}/nobody?token=s3cret")).status_code == 404
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 60) == 0
            said = (tmp_path / "log").read_text()
            assert '"request_ended"' in said
            assert "bus_" in said
            assert "s3cret" not in said
            assert "Traceback" not in said
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_mistyped_setting_is_refused() -> None:
    env = {**os.environ, "HEADRACE_APPPROXY_LISTEN_PROT": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace.appproxy", env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 78
    assert b"did you mean HEADRACE_APPPROXY_LISTEN_PORT" in said
