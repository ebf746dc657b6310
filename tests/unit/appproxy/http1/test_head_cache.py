"""Heads that come again are read as if they came for the first time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.http1.heads import FramingError, HeadLimits
from headrace.appproxy.dataplane.http1.requests import RequestReader
from headrace.appproxy.dataplane.http1.responses import ResponseReader
from tests.support.facts import facts

LIMITS = HeadLimits(head_bytes=400)
FIELDS = st.sampled_from(
    [
        b"Host: h",
        b"Host: other",
        b"Content-Length: 5",
        b"Content-Length: 12",
        b"content-length:\t 7 ",
        b"Content-Length: 007",
        b"Content-Length: 99999999999999999",
        b"Content-Length: +5",
        b"Content-Length: 9007199254740993",
        b"X: Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
        b"X-Long: " + b"a" * 250,
    ]
)
HEADS = st.lists(FIELDS, max_size=3).map(lambda lines: b"".join(line + b"\r\n" for line in lines) + b"\r\n")


def heads_after(*lines: bytes) -> st.SearchStrategy[list[bytes]]:
    return st.lists(st.tuples(st.sampled_from(lines), HEADS).map(b"\r\n".join), max_size=6)


def refusal(reader: RequestReader | ResponseReader, raw: bytes, **more: bool) -> FramingError:
    with pytest.raises(FramingError) as caught:
        reader.head(raw, **more)
    return caught.value


@given(heads_after(b"GET / HTTP/1.1", b"POST /x HTTP/1.1"), st.integers(0, 8))
def test_requests_are_read_as_if_each_were_the_first(heads: list[bytes], body: int) -> None:
    together = RequestReader(LIMITS)
    for raw in heads:
        for again in range(3):
            try:
                alone = facts(RequestReader(LIMITS).head(raw))
            except FramingError:
                refusal(together, raw)
                return
            assert facts(together.head(raw + b"x" * body * (again > 0))) == alone
            assert together.rest == b"x" * body * (again > 0)


@given(heads_after(b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.0 304 Not Modified"), st.booleans())
def test_answers_are_read_as_if_each_were_the_first(heads: list[bytes], to_head: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    together = ResponseReader(LIMITS)
    for number, raw in enumerate(heads):
        for again in range(3):
            asked = to_head and (number + again) % 2 == 0
            try:
                alone = facts(ResponseReader(LIMITS).head(raw, to_head=asked))
            except FramingError:
                refusal(together, raw, to_head=asked)
                return
            assert facts(together.head(raw, to_head=asked)) == alone


def test_only_the_number_may_differ() -> None:
    reader = RequestReader(HeadLimits())
    heads = [
        reader.head(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nA: b\r\n\r\n" % n) for n in (5, 5, 70, 9, 9)
    ]
    assert [head.length for head in heads if head] == [5, 5, 70, 9, 9]
    assert [dict(head.headers)[b"Content-Length"] for head in heads if head] == [b"5", b"5", b"70", b"9", b"9"]
    assert heads[3] is heads[4]
    other = reader.head(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nA: c\r\n\r\n")
    assert other is not None
    assert dict(other.headers)[b"A"] == b"c"
