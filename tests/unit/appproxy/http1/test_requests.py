"""Requests are read whole and strictly, however their bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.http1.bodies import body_of
from headrace.appproxy.dataplane.http1.heads import CHUNKED, FramingError, HeadLimits
from headrace.appproxy.dataplane.http1.requests import RequestReader

POST = b"POST /a?b=1 HTTP/1.1\r\nHost: h:1\r\nX-One: 1\r\nx-one:\t2 \r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00a;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n"
GET = b"GET / HTTP/1.0\r\n\r\n"


def read(pieces: list[bytes]) -> list[object]:
    """What a connection says, whatever pieces it comes in."""
    reader = RequestReader(HeadLimits())
    seen: list[object] = []
    body = None
    content = b""
    data = b""
    for piece in pieces:
        data = piece
        while True:
            if body is None:
                head = reader.head(data)
                if head is None:
                    break
                seen.append((head.method, head.target, head.minor, tuple(head.headers), head.length, head.keep_alive))
                data = reader.rest
                body, content = body_of(head.length), b""
            if not body.done:
                content += body.feed(data)
                data = body.rest
            if not body.done:
                break
            seen.append(content)
            body = None
            if not data:
                break
    return seen


@given(st.lists(st.integers(1, 40), max_size=60), st.permutations([POST, CHUNKS, GET, POST]))
def test_segmentation_makes_no_difference(sizes: list[int], order: list[bytes]) -> None:
    stream = b"".join(order)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(stream[at : at + size])
        at += size
    pieces = [piece for piece in [*pieces, stream[at:]] if piece]
    assert read(pieces) == read([stream])
    assert len(read([stream])) == 8


def test_what_a_head_says() -> None:
    head = RequestReader(HeadLimits()).head(POST)
    assert head is not None
    assert (head.method, head.target, head.minor, head.host) == (b"POST", b"/a?b=1", 1, b"h:1")
    assert head.headers[1:3] == [(b"X-One", b"1"), (b"x-one", b"2")]
    assert (head.length, head.keep_alive, head.expects, head.upgrade) == (5, True, False, b"")


HOST = b"Host: h\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 505),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET / RTSP/1.0\r\n" + HOST + b"\r\n", 400),
        (b"SOURCE / ICE/1.0\r\n" + HOST + b"\r\n", 400),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"SUBSCRIBE / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Expect: the-unexpected\r\n\r\n", 417),
        (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /" + b"a" * 17_000, 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 17_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: aaaaaaaaaaaaa\r\n" * 4000, 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(FramingError) as caught:
        RequestReader(HeadLimits()).head(data)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "data",
    [
        b"-3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"1" + b"0" * 20 + b"\r\n",
        b"3;a\rb\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"a" * 5000,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n a: b\r\n\r\n",
        b"0\r\na : b\r\n\r\n",
        b"0\r\n" + b"t: " + b"v" * 5000,
        b"3\r\nabc\r\rn",
    ],
)
def test_chunks_that_are_refused(data: bytes) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        with pytest.raises(FramingError):
            feed_all(pieces)


def feed_all(pieces: list[bytes]) -> None:
    body = body_of(CHUNKED)
    for piece in pieces:
        body.feed(piece)


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=6), st.lists(st.integers(1, 20), max_size=30))
def test_chunks_are_framed_anew_for_exactly_their_content(chunks: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(b"%X\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\nNEXT"
    body, content, raw, at = body_of(CHUNKED), b"", b"", 0
    for size in [*sizes, len(stream)]:
        if body.done:
            break
        piece, at = stream[at : at + size], at + size
        if piece:
            got = body.feed(piece)
            content += got
            raw += body.raw  # type: ignore[union-attr]
    assert body.done
    assert content == b"".join(chunks)
    assert (body.rest + stream[at:])[-4:] == b"NEXT"
    again = body_of(CHUNKED)
    assert again.feed(raw + b"0\r\n\r\n") == content
    assert again.done


def test_a_line_of_just_the_longest_length_is_read_however_it_is_cut() -> None:
    line = b"GET /aaaaaaaa HTTP/1.1"
    reader = RequestReader(HeadLimits(line_bytes=len(line)))
    assert all(reader.head(bytes([byte])) is None for byte in line + b"\r\nHost: h\r\n\r")
    assert reader.head(b"\n") is not None
    reader = RequestReader(HeadLimits(line_bytes=len(line) - 1))
    with pytest.raises(FramingError, match="longer than"):
        reader.head(line)
