"""Frames between the parent and a worker: whole whatever the cuts, with their descriptors, and bounded."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Discriminator, TypeAdapter

from headrace.appproxy.ipc import channel as channels
from headrace.appproxy.ipc.channel import (
    Channel,
    FrameError,
    FrameReader,
    Received,
    TruncatedFrameError,
    frame,
    receive,
)
from headrace.appproxy.ipc.codec import ChannelError, Codec, ControlMessage, InvalidMessageError
from tests.support.wait import eventually


@dataclass(frozen=True, slots=True)
class Text(ControlMessage):
    descriptors: ClassVar[range] = range(4)
    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True)
class Number(ControlMessage):
    descriptors: ClassVar[range] = range(4)
    number: int
    kind: Literal["number"] = "number"


Either = Annotated[Text | Number, Discriminator("kind")]
CODEC: Codec[Either] = Codec(TypeAdapter(Either))
messages = st.lists(
    st.tuples(st.builds(Text, st.text(max_size=40)) | st.builds(Number, st.integers()), st.integers(0, 3)),
    min_size=1,
    max_size=6,
)


def take_all(reader: FrameReader[Either]) -> list[Received[Either]]:
    found = []
    while (received := reader.take()) is not None:
        found.append(received)
    return found


@given(messages, st.data())
def test_frames_come_whole_whatever_the_cuts(sent: list[tuple[Either, int]], data: st.DataObject) -> None:
    stream, begins, numbers = b"", [], iter(range(100, 200))
    expected = []
    for message, fds in sent:
        own = [next(numbers) for _ in range(fds)]
        begins.append((len(stream), own))
        stream += frame(CODEC.encode(message), fds)
        expected.append((message, own))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    edges = sorted({0, len(stream), *cuts})
    reader = FrameReader(CODEC)
    found = []
    for start, end in pairwise(edges):
        reader.feed(stream[start:end], [fd for at, own in begins if start <= at < end for fd in own])
        found += take_all(reader)
    assert found == expected
    reader.end()


@given(messages, st.data())
def test_a_frame_that_the_end_cuts_off_is_refused_after_all_before_it_came(
    sent: list[tuple[Either, int]], data: st.DataObject
) -> None:
    frames = [frame(CODEC.encode(message)) for message, _ in sent]
    whole = data.draw(st.integers(0, len(frames) - 1))
    cut = data.draw(st.integers(1, len(frames[whole]) - 1))
    reader = FrameReader(CODEC)
    reader.feed(b"".join(frames[:whole]) + frames[whole][:cut])
    assert [received.message for received in take_all(reader)] == [message for message, _ in sent[:whole]]
    with pytest.raises(TruncatedFrameError, match=f"after {cut} bytes of a message"):
        reader.end()


@pytest.mark.parametrize(
    ("bad", "error", "why"),
    [
        (struct.pack("!IB", channels.MAX_BYTES + 1, 0), FrameError, "67108865 bytes .* allowed: 67108864"),
        (struct.pack("!IB", 2, 1) + b"{}", FrameError, "1 descriptors, of which 0 came"),
        (struct.pack("!IB", 1, 0) + b"{", InvalidMessageError, "EOF"),
    ],
)
def test_what_is_no_frame_is_refused_after_all_before_it_came(bad: bytes, error: type[ChannelError], why: str) -> None:
    reader = FrameReader(CODEC)
    reader.feed(frame(CODEC.encode(Number(1))) + bad)
    assert reader.take() == (Number(1), [])
    with pytest.raises(error, match=why):
        reader.take()


def test_too_large_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_BYTES", 100)
    with pytest.raises(FrameError, match="allowed: 100 with 250"):
        frame(CODEC.encode(Text("x" * 100)))
    with pytest.raises(FrameError, match="251 descriptors"):
        frame(CODEC.encode(Text("")), 251)


class End:
    """One end of a channel, and what came there."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: list[Received[Either]] = []
        self.ended = asyncio.Event()
        self.error: ChannelError | None = None
        self.channel = Channel(sock, FrameReader(CODEC), heard=self.heard.append, ended=self._end)

    def _end(self, error: ChannelError | None) -> None:
        self.error = error
        self.ended.set()


async def test_descriptors_go_along_also_when_the_other_side_is_slow() -> None:
    one, two = socket.socketpair()
    writing = End(one)
    big = "x" * 3_000_000  # more than the socket takes at once
    content = CODEC.encode(Text(big))
    for number in range(3):
        reading_end, writing_end = os.pipe()
        os.write(writing_end, b"pipe %d" % number)
        os.close(writing_end)
        writing.channel.send(content, [reading_end])
        os.close(reading_end)
    reading = End(two)
    await asyncio.wait_for(writing.channel.flushed(), 60)
    await eventually(lambda: len(reading.heard) == 3)
    for number, (message, (fd,)) in enumerate(reading.heard):
        assert (message, os.read(fd, 100)) == (Text(big), b"pipe %d" % number)
        assert not os.get_inheritable(fd)
        os.close(fd)
    reading.channel.close()
    await asyncio.wait_for(writing.ended.wait(), 60)
    writing.channel.send(content)
    await writing.channel.flushed()


async def test_what_was_sent_before_the_end_is_heard() -> None:
    one, two = socket.socketpair()
    writing, reading = End(one), End(two)
    writing.channel.send(CODEC.encode(Text("last words")))
    writing.channel.close()
    await asyncio.wait_for(reading.ended.wait(), 60)
    assert reading.heard == [(Text("last words"), [])]
    assert reading.error is None


async def test_what_the_reader_had_before_is_heard_first() -> None:
    one, two = socket.socketpair()
    one.sendall(b"".join(frame(CODEC.encode(Number(number))) for number in range(3)))
    reader = FrameReader(CODEC)
    assert receive(two, reader)
    assert reader.take() == (Number(0), [])
    heard: list[Received[Either]] = []
    channel = Channel(two, reader, heard=heard.append, ended=lambda _: None)
    await eventually(lambda: len(heard) == 2)
    assert [received.message for received in heard] == [Number(1), Number(2)]
    channel.close()
    one.close()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\xff" * 20, "a message of 4294967295 bytes with 255 descriptors; allowed: "),
        (frame(CODEC.encode(Number(1)))[:-1] + b"]", "message: Invalid JSON: "),
        (struct.pack("!IB", 2, 1) + b"{}", "a message with 1 descriptors, of which 0 came"),
    ],
)
async def test_nonsense_ends_the_channel_and_is_logged(bad: bytes, why: str) -> None:
    one, two = socket.socketpair()
    with structlog.testing.capture_logs() as lines:
        reading = End(two)
        one.sendall(frame(CODEC.encode(Text("before"))) + bad)
        await asyncio.wait_for(reading.ended.wait(), 60)
    assert reading.heard == [(Text("before"), [])]
    (line,) = lines
    assert line["event"] == "channel_failed"
    assert line["why"] == str(reading.error)
    assert line["why"].startswith(why)
    one.close()


async def test_an_end_in_the_middle_of_a_message_is_logged() -> None:
    one, two = socket.socketpair()
    with structlog.testing.capture_logs() as lines:
        reading = End(two)
        one.sendall(frame(CODEC.encode(Text("cut")))[:-1])
        one.close()
        await asyncio.wait_for(reading.ended.wait(), 60)
    assert [line["event"] for line in lines] == ["channel_failed"]
    assert reading.heard == []


async def test_who_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_WAITING", 5_000_000)
    one, two = socket.socketpair()
    writing = End(one)
    content = CODEC.encode(Text("x" * 1_000_000))
    sent = 0
    while not writing.ended.is_set():
        assert sent < 20
        writing.channel.send(content)
        sent += 1
        await asyncio.sleep(0)
    two.close()
