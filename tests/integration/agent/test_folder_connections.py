"""Connections of an agent's folder cache to managers: which is asked, how it is verified, what it may answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headrace.agent.folder_cache.connection import READ_S
from headrace.common.contracts.messages.folder_access import FolderAccess
from headrace.common.runtime.clock import utc_now
from headrace.common.runtime.tls import client_context, server_context
from headrace.install.certificates import new_authority, new_certificate
from tests.support.ports import free_port
from tests.support.tls_relay import tls_relay
from tests.support.wait import eventually
from tests.support.worlds.folder_cache import FILES, Machine


async def test_another_manager_is_asked_when_one_is_away(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    urls = ["http://127.0.0.1:1", f"http://127.0.0.1:{machine.link.port}"]
    async with machine.cache(urls=urls) as cache:
        assert await machine.provide(cache, snapshot_id) == FILES
    assert any(one.problem is not None and "127.0.0.1:1" in one.problem for one in machine.said)


async def test_a_manager_is_verified_by_its_authority(machine: Machine, tmp_path: Path) -> None:
    snapshot_id = await machine.has(FILES)
    here, elsewhere = (new_authority(name, utc_now()) for name in ("here", "elsewhere"))
    pair = new_certificate(here, ["127.0.0.1"], utc_now())
    for name, text in (("crt", pair.certificate), ("key", pair.key), ("here", here.certificate)):
        (tmp_path / name).write_text(text)
    (tmp_path / "elsewhere").write_text(elsewhere.certificate)
    port = free_port()
    async with tls_relay(port, machine.link.port, server_context(tmp_path / "crt", tmp_path / "key")):
        urls = [f"https://127.0.0.1:{port}"]
        async with machine.cache(urls=urls, tls=client_context(tmp_path / "elsewhere")) as cache:
            providing = asyncio.create_task(machine.provide(cache, snapshot_id))
            await eventually(lambda: any("CERTIFICATE_VERIFY_FAILED" in (one.problem or "") for one in machine.said))
            providing.cancel()
            await asyncio.gather(providing, return_exceptions=True)
        async with machine.cache(urls=urls, tls=client_context(tmp_path / "here")) as cache:
            assert await machine.provide(cache, snapshot_id) == FILES


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\n"],
    ids=["nothing", "a part", "a part of a refusal"],
)
async def test_a_start_that_is_given_up_waits_for_no_silent_manager(machine: Machine, sent: bytes) -> None:
    snapshot_id = await machine.has(FILES)
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        asked.set()
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    async with server, machine.cache(urls=urls) as cache:
        providing = asyncio.create_task(machine.provide(cache, snapshot_id))
        await asked.wait()
        providing.cancel()
        await eventually(providing.done, within_s=READ_S / 2)
        await left.wait()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", "sent less than was asked for"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "did not say how much it sends"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "allowed: 67108864"),
        (b"SSH-2.0\r\n", "SSH-2.0"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "answered 302"),
    ],
    ids=["cut", "no length", "too large", "no HTTP", "a redirection"],
)
async def test_an_answer_that_is_none_is_named(machine: Machine, sent: bytes, words: str) -> None:
    snapshot_id = await machine.has(FILES)

    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    server = await asyncio.start_server(wrong, "127.0.0.1", 0)
    urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
    async with server, machine.cache(urls=urls) as cache:
        providing = asyncio.create_task(machine.provide(cache, snapshot_id))

        def said() -> bool:
            refused = providing.exception() if providing.done() else None
            return any(words in text for text in (str(refused), *(one.problem or "" for one in machine.said)))

        await eventually(said)
        providing.cancel()
        await asyncio.gather(providing, return_exceptions=True)


async def test_access_that_is_refused_or_not_taken_is_asked_for_again(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    machine.grants = [
        FolderAccess(detail="no machine agent-1 is in this installation"),
        FolderAccess(token="of another installation", expires_in_s=600),
    ]
    async with machine.cache() as cache:
        assert await machine.provide(cache, snapshot_id) == FILES
    problems = [one.problem for one in machine.said if one.problem is not None]
    assert problems[0] == "the manager gives no access to folders: no machine agent-1 is in this installation"
    assert "answered 401: an agent's folder access token is needed" in problems[1]
