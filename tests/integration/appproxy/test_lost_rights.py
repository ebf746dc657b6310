"""What callers have open ends with their right to call: a token that was revoked or has expired, a client, a public service."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from headrace.common.contracts.ids import ClientId, TokenId, new_uuid
from headrace.common.contracts.messages.routes import Limits, NamedClient, Revocation, RouteTable
from headrace.common.runtime.clock import utc_now
from tests.support.factories.route_tables import Signer, route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend, raw_backend
from tests.support.worlds.appproxy_workers import two_workers

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@dataclass
class Service:
    """A private service whose answers do not end by themselves, and a token for it."""

    world: AppProxyWorld
    replica: Backend
    table: RouteTable
    signer: Signer
    token_id: TokenId = field(default_factory=lambda: TokenId(new_uuid()))
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def token(self, token_id: UUID | None = None, **more: Any) -> str:
        return self.signer.token(self.table.service_id, token_id=token_id or self.token_id, **more)

    async def ask(self, path: str, token: str, *, fields: str = "", at_replica: bool = True) -> asyncio.StreamReader:
        """Begin a request, and return once the replica has it."""
        seen = len(self.replica.seen)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.world.port)
        self.writers.append(writer)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n{fields}\r\n".encode())
        if at_replica:
            await eventually(lambda: len(self.replica.seen) == seen + 1)
        return reader

    def socket(self, token: str) -> Any:
        return connect(
            f"ws://127.0.0.1:{self.world.port}/chat/socket", additional_headers={"Authorization": f"Bearer {token}"}
        )

    def update(self, **more: Any) -> None:
        """Put the next table in use."""
        generation = self.table.generation + 1
        self.table = self.table.model_copy(update={"generation": generation} | more)
        self.world.apply(self.table)

    def revoke(self, *token_ids: UUID) -> None:
        until = utc_now() + timedelta(hours=1)
        revoked = [Revocation(token_id=TokenId(one), expires_at=until) for one in token_ids or (self.token_id,)]
        self.update(revocations=(*self.table.revocations, *revoked))


async def answer(request: web.Request) -> web.StreamResponse:
    """Stream without end, hold back, or echo on a WebSocket."""
    if request.path == "/silent":
        await asyncio.Event().wait()
    if request.path == "/whole":
        return web.Response(text="whole")
    if request.path == "/socket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket
    stream = web.StreamResponse()
    stream.content_type = "text/event-stream" if request.path == "/events" else "application/json"
    await stream.prepare(request)
    await stream.write(b"data: 1\n\n")
    await asyncio.Event().wait()
    return stream


@pytest.fixture
async def service(world: AppProxyWorld) -> AsyncIterator[Service]:
    async with backend(answer) as replica:
        signer = Signer()
        one = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        world.apply(one)
        made = Service(world, replica, one, signer)
        yield made
        for writer in made.writers:
            writer.close()


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """How it was closed, once it was."""
    async with asyncio.timeout(60):
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass
    return socket.close_code, socket.close_reason


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        return await reader.read()


async def test_a_websocket_of_a_revoked_token_is_closed_with_1008(service: Service) -> None:
    async with service.socket(service.token()) as mine, service.socket(service.token(new_uuid())) as other:
        await mine.send("x")
        assert await mine.recv() == "x"
        service.revoke()
        assert await closed(mine) == (1008, "the token was revoked")
        await other.send("y")
        assert await other.recv() == "y", "another token's goes on"
    await eventually(lambda: service.world.open_requests == 0)
    lines = (await service.world.metrics()).splitlines()
    cut = [line for line in lines if line.startswith("headrace_proxy_interrupted_responses_total{")]
    assert [line.split()[-1] for line in cut if 'reason="revoked-token"' in line] == ["1.0"]


async def test_who_goes_on_sending_hears_of_the_close_too(service: Service) -> None:
    async with service.socket(service.token()) as mine:

        async def pour() -> None:
            while True:
                await mine.send("x" * 5000)
                await asyncio.sleep(0)

        pouring = asyncio.create_task(pour())
        await mine.recv()
        service.revoke()
        assert await closed(mine) == (1008, "the token was revoked")
        with pytest.raises(ConnectionClosed):
            await pouring


async def test_in_the_middle_of_a_frame_there_is_no_place_for_a_close_frame(world: AppProxyWorld) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _n: int) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        writer.write(b"\x82\x04full\x82\x7e\x01\x00half")
        await reader.read()

    async with raw_backend(half) as replica, backend() as unused:
        signer = Signer()
        one = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        world.apply(one)
        service = Service(world, unused, one, signer)
        reader = await service.ask("/chat/", f"Bearer {service.token()}", fields=UPGRADE, at_replica=False)
        await asyncio.wait_for(reader.readuntil(b"half"), 60)
        service.revoke()
        assert await rest(reader) == b"", "cut"
        service.writers[0].close()


async def test_a_stream_of_a_revoked_token_does_not_look_whole(service: Service) -> None:
    shown = f"Bearer {service.token()}"
    events = await service.ask("/chat/events", shown)
    chunks = await service.ask("/chat/chunks", shown)
    for reader in (events, chunks):
        await reader.readuntil(b"data: 1\n\n")
    with capture_logs() as logs:
        service.revoke()
        told = await rest(events)
        assert b'"code": "revoked-token"' in told
        assert not told.endswith(b"0\r\n\r\n")
        assert not (await rest(chunks)).endswith(b"0\r\n\r\n")
        await eventually(lambda: len([line for line in logs if line["event"] == "request_ended"]) == 2)
    assert {(line["broken"], line["log_level"]) for line in logs if line["event"] == "request_ended"} == {
        ("revoked-token", "warning")
    }
    await asyncio.wait_for(service.replica.cancelled.wait(), 60)
    errors = [stats.errors for stats in service.world.plane.context.stats]
    assert errors == [0], "no fault of the service's"


async def test_a_request_without_an_answer_yet_gets_its_401(service: Service) -> None:
    shown = f"Bearer {service.token()}"
    service.update(limits=Limits(max_in_flight_per_replica=1))
    asked = await service.ask("/chat/silent", shown)
    waiting = await service.ask("/chat/silent", shown, at_replica=False)
    await eventually(lambda: service.world.open_requests == 2)
    service.revoke()
    for reader in (asked, waiting):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.startswith(b"HTTP/1.1 401 ")
        assert json.loads(await reader.readuntil(b"}"))["reason"] == "revoked-token"
    assert service.world.open_requests == 0


async def test_an_idle_connection_of_a_revoked_token_gets_its_401_with_the_next_request(service: Service) -> None:
    shown = f"Bearer {service.token()}"
    reader = await service.ask("/chat/whole", shown)
    await reader.readuntil(b"whole")
    service.revoke()
    for _ in range(3):
        service.world.plane._reauthorizer.sweep()
    service.writers[0].write(f"GET /chat/whole HTTP/1.1\r\nHost: x\r\nAuthorization: {shown}\r\n\r\n".encode())
    assert (await asyncio.wait_for(reader.readline(), 60)).startswith(b"HTTP/1.1 401 ")


async def test_what_is_open_ends_as_the_token_expires(service: Service) -> None:
    token = service.token(lasts=timedelta(seconds=2))
    lasting = service.token(new_uuid())
    async with service.socket(token) as mine, service.socket(lasting) as other:
        events = await service.ask("/chat/events", f"Bearer {token}")
        later = await service.ask("/chat/events", f"Bearer {service.token(new_uuid(), lasts=timedelta(seconds=3))}")
        service.update(wanted=7)  # what was noted by the table before counts on
        assert await closed(mine) == (1008, "the token has expired")
        assert b'"code": "expired-token"' in await rest(events)
        assert b'"code": "expired-token"' in await rest(later)
        await other.send("y")
        assert await other.recv() == "y"


@pytest.mark.parametrize("how", ["revoked", "rotated"])
async def test_what_a_client_has_open_ends_with_its_secret(service: Service, how: str) -> None:
    client = NamedClient(client_id=ClientId(new_uuid()), name="robot", secret_sha256=sha256(b"before").hexdigest())
    rotated = client.model_copy(update={"secret_sha256": sha256(b"after").hexdigest()})
    service.update(clients=(client,))
    shown = f"Basic {b64encode(b'robot:before').decode()}"
    events = await service.ask("/chat/events", shown)
    await events.readuntil(b"data: 1\n\n")
    service.update(clients=() if how == "revoked" else (rotated,))
    assert b'"code": "wrong-secret"' in await rest(events)


async def test_what_strangers_have_open_ends_when_a_service_is_public_no_more(service: Service) -> None:
    service.update(open_to_public=True)
    stranger = await service.ask("/chat/events", "Bearer nonsense")
    known = await service.ask("/chat/events", f"Bearer {service.token()}")
    for reader in (stranger, known):
        await reader.readuntil(b"data: 1\n\n")
    service.update(open_to_public=False)
    assert b'"code": "malformed-token"' in await rest(stranger)
    assert service.world.open_requests == 1, "who shows a token stays"


async def test_a_revoked_token_keeps_what_is_open_to_everybody(service: Service) -> None:
    service.update(open_to_public=True)
    events = await service.ask("/chat/events", f"Bearer {service.token()}")
    await events.readuntil(b"data: 1\n\n")
    service.revoke()
    await eventually(lambda: not service.world.plane._reauthorizer._due)
    assert service.world.open_requests == 1


class Looked(set[Any]):
    """A set that counts who goes over it."""

    looks = 0

    def __iter__(self) -> Iterator[Any]:
        type(self).looks += 1
        return super().__iter__()


async def test_open_requests_are_looked_at_only_when_a_right_was_taken_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.world.plane.requests, "open", Looked())
    monkeypatch.setattr(Looked, "looks", 0)
    events = await service.ask("/chat/events", f"Bearer {service.token()}")
    await events.readuntil(b"data: 1\n\n")
    for number in range(20):
        service.update(wanted=number)
    service.update(token_keys=(*service.table.token_keys, Signer("k2").public))
    for _ in range(3):
        service.world.plane._reauthorizer.sweep()
    assert Looked.looks == 0
    service.revoke()
    assert Looked.looks == 1
    await rest(events)
    service.revoke()
    assert Looked.looks == 1, "nothing new was taken away"


async def test_thousands_are_cut_by_several_sweeps(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.appproxy.dataplane.request.reauthorization.MAX_PER_SWEEP", 2)
    token = service.token()
    readers = [await service.ask("/chat/events", f"Bearer {token}") for _ in range(5)]
    service.revoke()
    plane = service.world.plane
    plane._reauthorizer.sweep()
    assert service.world.open_requests == 3
    for reader in readers:
        assert b"revoked-token" in await rest(reader)


async def test_what_loses_its_right_twice_is_due_once(service: Service) -> None:
    readers = [await service.ask("/chat/events", f"Bearer {service.token()}") for _ in range(3)]
    for reader in readers:
        await reader.readuntil(b"data: 1\n\n")
    service.update(token_keys=())
    service.revoke()
    assert len(service.world.plane._reauthorizer._due) == 3
    for reader in readers:
        await rest(reader)


async def test_every_worker_cuts_its_own(tmp_path: Path) -> None:
    async with backend(answer) as replica, two_workers(tmp_path / "data") as two:
        signer = Signer()
        one = table("chat", open_to_public=False, token_keys=(signer.public,), routes=(route(port=replica.port),))
        await two.apply(one)
        service = Service(two.world, replica, one, signer)
        sockets = [await service.socket(service.token()) for _ in range(8)]
        service.revoke()
        for socket in sockets:
            assert await closed(socket) == (1008, "the token was revoked")
