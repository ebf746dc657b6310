"""Frames of a WebSocket are followed by their lengths, however the bytes are divided."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from headrace.appproxy.dataplane.http1.websocket import FrameTracker, close_frame

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65_535, 65_536, 70_000]))


def framed(opcode: Opcode, size: int, *, mask: bool) -> bytes:
    return Frame(opcode, b"x" * size).serialize(mask=mask)


@given(
    st.lists(
        st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]), SIZES, st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.integers(0, 200_000), max_size=8),
)
def test_only_where_a_frame_has_ended_is_it_between_frames(
    frames: list[tuple[Opcode, int, bool]], cuts: list[int]
) -> None:
    data, ends = b"", {0}
    for opcode, size, mask in frames:
        data += framed(opcode, size, mask=mask)
        ends.add(len(data))
    reader, at = FrameTracker(), 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        reader.feed(data[at:cut])
        at = cut
        assert reader.between == (at in ends)


def test_a_head_may_come_byte_by_byte() -> None:
    reader = FrameTracker()
    *head, last = framed(Opcode.BINARY, 0, mask=True)[:-1], b"m"
    for byte in head[0]:
        reader.feed(bytes([byte]))
        assert not reader.between
    reader.feed(last)
    assert reader.between


def test_a_length_that_nobody_sends_ends_never() -> None:
    reader = FrameTracker()
    reader.feed(b"\x82\x7f" + b"\xff" * 8)
    reader.feed(b"\x00" * 100)
    assert not reader.between


def test_a_close_frame_is_what_peers_read() -> None:
    frame = close_frame(1008, "the token was revoked")
    assert frame == Frame(Opcode.CLOSE, Close(1008, "the token was revoked").serialize()).serialize(mask=False)
    long = close_frame(1008, "ü" * 200)
    assert len(long) <= 127
    assert Close.parse(long[2:]) == Close(1008, "ü" * 61)
