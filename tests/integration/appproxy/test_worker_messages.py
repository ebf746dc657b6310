"""What a real worker process does with the messages it gets, and what the parent does for them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.appproxy.ipc.channel import frame
from headrace.appproxy.ipc.codec import Codec, EncodedMessage
from headrace.appproxy.ipc.messages import PARENT_MESSAGES, ApplyTable, Listen, ParentMessage, Start, Synced
from tests.support.factories.route_tables import table
from tests.support.worlds.appproxy_replicas import fleet
from tests.support.worlds.appproxy_workers import TwoWorkers, from_both, two_workers


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[TwoWorkers]:
    async with two_workers(tmp_path / "data") as one:
        yield one


async def worker_says(first: bytes) -> tuple[int, str]:
    """Start a worker whose parent sends this and is gone; return its exit status and what it wrote."""
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "headrace.appproxy.worker",
        str(theirs.fileno()),
        "3",
        pass_fds=(theirs.fileno(),),
        stderr=asyncio.subprocess.PIPE,
    )
    theirs.close()
    ours.sendall(first)
    ours.close()
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, said.decode().strip()


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (
            frame(EncodedMessage(b'{"kind":"begin"}')),
            "worker 3 cannot start: no kind of message: 'begin'; allowed: 'start', 'apply-table', ",
        ),
        (frame(PARENT_MESSAGES.encode(Synced(sequence=1))), "worker 3 cannot start: the first message is 'synced'"),
        (
            frame(EncodedMessage(b'{"kind":"synced","step":1}')),
            "worker 3 cannot start: synced.sequence: Field required; synced.step: Unexpected keyword argument",
        ),
        (
            frame(PARENT_MESSAGES.encode(Synced(sequence=1)))[:-3],
            "worker 3 cannot start: it ends after 32 bytes of a message",
        ),
    ],
)
async def test_a_worker_that_cannot_read_its_first_message_says_so_in_one_line(first: bytes, said: str) -> None:
    status, line = await worker_says(first)
    assert status == 1
    assert line.startswith(said)
    assert "\n" not in line


async def test_a_worker_whose_parent_is_gone_before_it_spoke_ends_quietly() -> None:
    assert await worker_says(b"") == (0, "")


async def test_a_table_is_encoded_once_for_all_workers_and_those_that_start_later(
    two: TwoWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[type] = []
    encode = Codec.encode

    def counted(codec: Codec[ParentMessage], message: ParentMessage) -> EncodedMessage:
        encoded.append(type(message))
        return encode(codec, message)

    monkeypatch.setattr(Codec, "encode", counted)
    async with fleet(1) as replicas:
        await two.apply(table("chat", routes=replicas.routes()))
        assert encoded == [ApplyTable]
        pids = two.traffic.pids
        os.kill(pids[0], signal.SIGKILL)
        await two.replaced(pids)
        assert encoded == [ApplyTable, Start, Listen, Synced]
        assert {answer.status for answer in await from_both(two.port)} == {200}
