"""Frames between the parent and a worker: whole whatever the cuts, with their descriptors, and bounded."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.ipc import channel as channels
from headrace.appproxy.ipc.channel import Channel, ChannelError, FrameReader, Message, frame
from tests.support.wait import eventually

messages = st.lists(
    st.tuples(st.dictionaries(st.text(max_size=8), st.one_of(st.text(max_size=40), st.integers())), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


@given(messages, st.data())
def test_frames_come_whole_whatever_the_cuts(sent: list[tuple[Message, int]], data: st.DataObject) -> None:
    stream, begins, numbers = b"", [], iter(range(100, 200))
    expected = []
    for message, fds in sent:
        own = [next(numbers) for _ in range(fds)]
        begins.append((len(stream), own))
        stream += frame(message, fds)
        expected.append((message, own))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    edges = sorted({0, len(stream), *cuts})
    reader = FrameReader()
    found = []
    for start, end in pairwise(edges):
        came = [fd for at, own in begins if start <= at < end for fd in own]
        found += reader.feed(stream[start:end], came)
    assert found == expected


@pytest.mark.parametrize(
    "bad",
    [struct.pack("!IB", channels.MOST_BYTES + 1, 0), struct.pack("!IB", 2, 1) + b"{}", struct.pack("!IB", 1, 0) + b"{"],
)
def test_what_is_no_frame_is_refused(bad: bytes) -> None:
    with pytest.raises(ChannelError):
        FrameReader().feed(bad)


def test_too_large_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MOST_BYTES", 100)
    with pytest.raises(ChannelError):
        frame({"text": "x" * 100})
    with pytest.raises(ChannelError):
        frame({}, 251)


class End:
    """One end of a channel, and what came there."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: list[tuple[Message, list[int]]] = []
        self.ended = asyncio.Event()
        self.channel = Channel(sock, heard=lambda *order: self.heard.append(order), ended=self.ended.set)


async def test_descriptors_go_along_also_when_the_other_side_is_slow() -> None:
    one, two = socket.socketpair()
    writing = End(one)
    big = "x" * 3_000_000  # more than the socket takes at once
    for number in range(3):
        reading_end, writing_end = os.pipe()
        os.write(writing_end, b"pipe %d" % number)
        os.close(writing_end)
        writing.channel.send({"number": number, "big": big}, [reading_end])
        os.close(reading_end)
    reading = End(two)
    await asyncio.wait_for(writing.channel.flushed(), 10)
    await eventually(lambda: len(reading.heard) == 3)
    for number, (message, (fd,)) in enumerate(reading.heard):
        assert (message["number"], len(message["big"]), os.read(fd, 100)) == (number, len(big), b"pipe %d" % number)
        assert not os.get_inheritable(fd)
        os.close(fd)
    reading.channel.close()
    await asyncio.wait_for(writing.ended.wait(), 10)
    writing.channel.send({"to": "nobody"})
    await writing.channel.flushed()


async def test_what_was_sent_before_the_end_is_heard() -> None:
    one, two = socket.socketpair()
    writing, reading = End(one), End(two)
    writing.channel.send({"last": "words"})
    writing.channel.close()
    await asyncio.wait_for(reading.ended.wait(), 10)
    assert reading.heard == [({"last": "words"}, [])]


@pytest.mark.parametrize("bad", [b"\xff" * 20, struct.pack("!IB", 2, 1) + b"{}"])
async def test_nonsense_ends_the_channel(bad: bytes) -> None:
    one, two = socket.socketpair()
    reading = End(two)
    one.sendall(bad)
    await asyncio.wait_for(reading.ended.wait(), 10)
    one.close()


async def test_who_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_MOST_WAITING", 5_000_000)
    one, two = socket.socketpair()
    writing = End(one)
    message: dict[str, Any] = {"big": "x" * 1_000_000}
    sent = 0
    while not writing.ended.is_set():
        assert sent < 20
        writing.channel.send(message)
        sent += 1
        await asyncio.sleep(0)
    two.close()
