"""An impaired link loses what it is told to, in the direction that it is told, and nothing else of it is changed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest

from tests.support.impairment import SILENT, Quality, impaired
from tests.support.network import Host, network
from tests.support.wait import eventually

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


class Peer:
    """Socket for datagrams on a host, and what has arrived there."""

    def __init__(self, host: Host) -> None:
        self.got: list[bytes] = []
        with host.entered():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((host.address, 9))
        self.socket.setblocking(False)

    def send(self, to: Peer, number: int) -> None:
        for n in range(number):
            self.socket.sendto(b"%d" % n, to.socket.getsockname())

    def arrived(self) -> list[bytes]:
        while True:
            try:
                self.got.append(self.socket.recv(100))
            except BlockingIOError:
                return self.got


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    with network("near", "far") as made:
        yield made


@pytest.fixture
async def peers(hosts: dict[str, Host]) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two that have heard from each other: addresses are resolved."""
    near, far = Peer(hosts["near"]), Peer(hosts["far"])
    for one, other in ((near, far), (far, near)):
        one.send(other, 1)
        await eventually(other.arrived)
        other.got.clear()
    yield near, far
    for one in (near, far):
        one.socket.close()


async def test_a_cut_in_one_direction_lets_the_other_through(hosts: dict[str, Host], peers: tuple[Peer, Peer]) -> None:
    near, far = peers
    with impaired(hosts["far"], Random(1), to_host=SILENT):
        near.send(far, 50)
        far.send(near, 50)
        await eventually(lambda: len(near.arrived()) == 50)
        assert far.arrived() == []
    near.send(far, 1)
    await eventually(far.arrived)
    assert far.got == [b"0"], "what was lost stays lost, and the link is as before"


async def test_the_share_that_is_told_is_lost_and_the_rest_keeps_its_order(
    hosts: dict[str, Host], peers: tuple[Peer, Peer]
) -> None:
    near, far = peers
    with impaired(hosts["far"], Random(1), to_host=Quality(loss=0.3, delay_s=0.001, jitter_s=0.005)):
        near.send(far, 200)
        await eventually(lambda: len(far.arrived()) > 100)
    numbers = [int(one) for one in far.arrived()]
    assert len(numbers) < 180
    assert numbers == sorted(numbers)


async def test_a_late_and_lossy_link_carries_a_connection_whole(hosts: dict[str, Host]) -> None:
    content = Random(1).randbytes(500_000)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.close()

    with hosts["far"].entered():
        listening = socket.create_server((hosts["far"].address, 0))
    bad = Quality(loss=0.02, delay_s=0.005, jitter_s=0.002)
    async with await asyncio.start_server(serve, sock=listening):
        with impaired(hosts["far"], Random(1), to_host=bad, from_host=bad):
            with hosts["near"].entered():
                reader, writer = await asyncio.open_connection(*listening.getsockname())
            assert await reader.read() == content
            writer.close()
            await writer.wait_closed()
