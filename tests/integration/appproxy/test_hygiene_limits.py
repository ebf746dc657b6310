"""Bounds on heads, bodies and connections, over the wire: who is beyond them is told why, and costs nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest

from headrace.appproxy.dataplane.request.context import Listener
from headrace.appproxy.dataplane.request.downstream import DownstreamConnection
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, raw_request, running

HEAD = b"GET /chat/x HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET /chat/" + b"x" * 2000 + b" HTTP/1.1\r\nHost: x", 414, "line-too-long"),
        (HEAD + b"A: " + b"x" * 2000, 431, "field-too-large"),
        (HEAD + b"A:" + b" " * 2000 + b"\x80", 431, "field-too-large"),
        (HEAD + b"A: b\r\n" * 20, 431, "too-many-fields"),
        (HEAD + (b"A: " + b"x" * 900 + b"\r\n") * 6, 431, "head-too-large"),
    ],
)
async def test_head_limits_are_the_settings(tmp_path: Path, data: bytes, status: int, reason: str) -> None:
    async with (
        backend() as replica,
        running(tmp_path, max_line_bytes=1024, max_header_bytes=1024, max_headers=16, max_head_bytes=4096) as world,
    ):
        world.apply(table("chat", routes=(route(port=replica.port),)))
        told = await raw_request(world.port, data + b"\r\n\r\n")  # to the end: the connection is closed
        assert told.startswith(b"HTTP/1.1 %d " % status)
        assert reason.encode() in told
        assert f'headrace_proxy_malformed_total{{reason="{reason}"' in await world.metrics()
        assert (await raw_request(world.port, HEAD + b"\r\n", until=b"\r\n")).startswith(b"HTTP/1.1 200 ")
        assert len(replica.seen) == 1


@pytest.mark.parametrize("framing", ["Content-Length: 20000000", "Transfer-Encoding: chunked"])
async def test_who_still_sends_is_told_all_the_same(tmp_path: Path, framing: str) -> None:
    """A close with unread bytes resets the connection, and with it the answer that was on its way."""
    async with backend() as replica, running(tmp_path, max_body_bytes=1000) as world:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        chunk = b"x" * 20_000_000 if "Length" in framing else b"1312D00\r\n" + b"x" * 20_000_000 + b"\r\n0\r\n\r\n"
        for path in ("chat/x", "v1/completions", "nobody/x"):
            head = f"POST /{path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
            told = await raw_request(world.port, head.encode() + chunk)
            assert told.startswith(b"HTTP/1.1 404 " if path == "nobody/x" else b"HTTP/1.1 413 ")
        assert not replica.bodies


async def test_who_sends_a_head_without_end_is_told_all_the_same(world: AppProxyWorld) -> None:
    told = await raw_request(world.port, HEAD + b"A: b\r\n" * 3_000_000)
    assert told.startswith(b"HTTP/1.1 431 ")


async def test_an_address_has_so_many_connections_and_others_have_theirs(tmp_path: Path) -> None:
    async with backend() as replica, running(tmp_path, max_connections_per_address=2) as world:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        held = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(2)]
        await eventually(lambda: world.proxy.traffic.snapshot().connections == 2)
        told = await raw_request(world.port, b"")
        assert told.startswith(b"HTTP/1.1 429 ")
        assert b'"reason": "too-many-connections"' in told
        other = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(verify=False, timeout=60, transport=other) as http:
            assert (await http.get(f"{world.url}/chat/x")).status_code == 200
        for reader, writer in held:  # they are served as before
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        held[0][1].close()
        await eventually(lambda: world.proxy.traffic.snapshot().connections == 1)
        assert (await raw_request(world.port, HEAD + b"\r\n", until=b"\r\n")).startswith(b"HTTP/1.1 200 ")
        held[1][1].close()


def comes(world: AppProxyWorld, address: str) -> tuple[DownstreamConnection, bytes]:
    """A connection from this address, and what it is told at once."""
    line = world.plane.downstreams.connect(Listener(None))
    transport = Mock()
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = (address, 1, 0, 0)
    line.connection_made(transport)
    return line, b"".join(told.args[0] for told in transport.write.call_args_list)


async def test_of_ipv6_a_whole_64_counts_as_one_address(tmp_path: Path) -> None:
    async with running(tmp_path, max_connections_per_address=2, trusted_peers=["2001:db8:0:1::99"]) as world:
        lines = []
        for address in (
            "2001:db8:0:1::99",
            *(f"2001:db8:0:1::{n}" for n in (1, 2)),
            "2001:db8:0:2::1",
            "::ffff:192.0.2.1",
        ):
            line, told = comes(world, address)
            assert told == b"", address
            lines.append(line)
        over, told = comes(world, "2001:db8:0:1:ffff::3")
        assert told.startswith(b"HTTP/1.1 429 ")
        assert comes(world, "2001:db8:0:1::99")[1] == b"", "one's own proxy is not bound by it"
        assert comes(world, "192.0.2.2")[1] == b""
        for gone in (over, lines[1]):
            gone.connection_lost(None)
        assert comes(world, "2001:db8:0:1::4")[1] == b""
        assert comes(world, "2001:db8:0:1::5")[1].startswith(b"HTTP/1.1 429 ")


async def test_ones_own_proxies_in_front_are_not_bound_by_it(tmp_path: Path) -> None:
    async with (
        backend() as replica,
        running(tmp_path, max_connections_per_address=2, trusted_peers=["127.0.0.1/32"]) as world,
    ):
        world.apply(table("chat", routes=(route(port=replica.port),)))
        held = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(5)]
        for reader, writer in held:
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.close()


async def test_all_together_have_so_many_connections(tmp_path: Path) -> None:
    async with running(tmp_path, max_connections=2) as world:
        held = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(2)]
        await eventually(lambda: world.proxy.traffic.snapshot().connections == 2)
        told = await raw_request(world.port, b"")
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b'"reason": "proxy-full"' in told
        for _, writer in held:
            writer.close()
        await eventually(lambda: world.proxy.traffic.snapshot().connections == 0)
        assert (await world.http.get(f"{world.url}/nobody/x")).status_code == 404
