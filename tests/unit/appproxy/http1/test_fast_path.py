"""What is read in a few steps llhttp reads the same, and what is not plain is left to it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.http1 import fast_path as module
from headrace.appproxy.dataplane.http1.fast_path import read_plain_head
from headrace.appproxy.dataplane.http1.field_names import name_of
from headrace.appproxy.dataplane.http1.heads import FramingError, HeaderLine, HeadLimits
from headrace.appproxy.dataplane.http1.requests import RequestReader

PIECES = st.sampled_from(
    [
        b"GET",
        b"POST",
        b"get",
        b"TRACE",
        b" ",
        b"  ",
        b"\t",
        b"/",
        b"/a?b=%20",
        b"/a b",
        b"/\xc3\xa9",
        b"*",
        b"http://h/",
        b"#",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b"Host: h",
        b"Host:h ",
        b"X-A:\t b c ",
        b"X-A : b",
        b" folded",
        b": x",
        b"X:",
        b"X: a\tb",
        b"X: \xff",
        b"X: \x00",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Connection: close",
    ]
)
HEADS = st.lists(PIECES, max_size=14).map(b"".join) | st.lists(
    st.sampled_from([b"Host: h", b"X: a  b", b"X-Y:\t1\t", b"Cookie: a=b; c=d", b"A!#$%&'*+-.^_`|~: v", b"X: \x7f"]),
    max_size=5,
).map(lambda lines: b"\r\n".join([b"POST /v1/x?y=z HTTP/1.1", *lines]))


def refused(head: bytes) -> bool:
    try:
        RequestReader(HeadLimits()).head(head + b"\r\n\r\n")
    except FramingError:
        return True
    return False


@given(HEADS)
@example(b"GET / HTTP/1.1")
@example(b"GET / HTTP/1.1\r\nX: a\r\n b")
def test_what_is_plain_is_read_as_llhttp_reads_it(head: bytes) -> None:
    found = read_plain_head(head.split(b"\r\n"))
    if found is not None and not refused(head):
        limiter_mode = RequestReader(HeadLimits()).parse_head(head + b"\r\n\r\n")
        assert (limiter_mode.method, limiter_mode.target, limiter_mode.lines, limiter_mode.minor) == (*found, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.0",
        b"get / HTTP/1.1",
        b"CONNECT h:1 HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET",
        b"GET /",
        b"GET HTTP/1.1",
        b" HTTP/1.1",
        b"",
        b"GET /a#b HTTP/1.1",
        b"GET /\xc3 HTTP/1.1",
        b"GET http://h/ HTTP/1.1",
    ],
)
def test_an_unusual_request_line_is_left_to_llhttp(line: bytes) -> None:
    assert read_plain_head([line]) is None


@pytest.mark.parametrize(
    "lines",
    [
        b"X : a",
        b" X: a",
        b"X: a\r\n b",
        b"X: a\nY: b",
        b"X: \x01",
        b": a",
        b"no colon",
        b"X: a\rb",
        b"",
        b"Transfer-Encoding: chunked",
    ],
)
def test_unusual_fields_are_left_to_llhttp(lines: bytes) -> None:
    assert read_plain_head([b"GET / HTTP/1.1", *lines.split(b"\r\n")]) is None


def test_usual_requests_are_plain() -> None:
    head = b"POST /chat/v1/chat/completions HTTP/1.1\r\nHost: h:1\r\nUser-Agent: OpenAI/Python 1.9\r\nX-Empty:\r\nAccept: */* "
    for _ in range(2):
        found = read_plain_head(head.split(b"\r\n"))
        assert found is not None
        assert (found[0], found[1], [(line.name.text, line.value) for line in found[2]]) == (
            b"POST",
            b"/chat/v1/chat/completions",
            [(b"Host", b"h:1"), (b"User-Agent", b"OpenAI/Python 1.9"), (b"X-Empty", b""), (b"Accept", b"*/*")],
        )


def read(*lines: bytes) -> list[HeaderLine]:
    found = read_plain_head([b"GET / HTTP/1.1", *lines])
    assert found is not None
    return found[2]


def test_lines_that_never_come_again_do_not_push_out_those_that_do() -> None:
    """Each request of a real caller has an id and a trace of its own; the rest of its head comes again and again."""
    always = read(b"X-Always: the same")[0]
    for n in range(20_000):
        again, own = read(b"X-Always: the same", b"X-Own-Id: %032x" % n)
        assert again is always
        assert own.value == b"%032x" % n


@pytest.mark.parametrize(
    "line", [b"X-A:b", b"X-A:  b", b"X-A: b ", b"X-A:\tb", b"X-A: b\t", b"X-A: b", b"X-A:", b"X-A: ", b"X-A:b c"]
)
def test_a_field_is_sent_on_as_name_and_value_however_it_came(line: bytes) -> None:
    found = read(line)[0]
    assert found.raw == b"X-A: " + found.value
    assert found.value == line.partition(b":")[2].strip(b" \t")


LINES = st.sampled_from(
    [b"Host: h", b"X-A: 1", b"X-A: 12", b"X-A:1", b"X-A:  1", b"X-AB: 1", b"X-A: ", b"X-A: 1 ", b"X-B: 1", b"x-a: 1"]
)


@given(st.lists(st.lists(LINES, max_size=8), min_size=2, max_size=6))
def test_a_head_is_read_the_same_whatever_the_heads_before_it_were(heads: list[list[bytes]]) -> None:
    """The line that followed last time is a guess, and never believed by its beginning or its name."""
    for lines in heads:
        assert [(line.name.text, line.value, line.received) for line in read(*lines)] == [
            (text.partition(b":")[0], text.partition(b":")[2].strip(), text) for text in lines
        ]


def test_lines_in_the_order_of_the_last_head_are_not_looked_up() -> None:
    lines = [b"X-First: 1", b"X-Second: 2", b"X-Third: 3"]
    before = read(*lines)
    looked_up = [line.name.hits for line in before]
    again = read(*lines)
    assert all(one is other for one, other in zip(again, before, strict=True))
    assert [line.name.hits for line in again] == looked_up
    assert read(lines[2])[0].name.hits == looked_up[2] + 1


@pytest.mark.parametrize("name", [b"Authorization", b"authorization", b"X-Api-Key", b"Cookie"])
def test_a_credential_is_never_compared_with_that_of_the_last_head(name: bytes) -> None:
    """Comparing bytes in turn would tell a caller by time how much of his guess agrees; a look-up compares hashes first."""
    lines = [b"X-Before: 1", name + b": Bearer of-somebody-else", b"X-After: 1"]
    first = read(*lines)
    second = read(*lines)
    assert first[1] is second[1]
    assert first[0].follower is None
    assert first[1].follower is first[2]


def test_lines_that_are_remembered_no_more_hold_on_to_no_others() -> None:
    kept = read(b"X-Kept: 0", b"X-Next: 0")[0]
    assert kept.follower is not None
    for n in range(5_000):
        for name in range(2):
            read(b"X-Passing-%d-%d: %d" % (n % 500, name, n))
    assert not kept.remembered
    assert kept.follower is None


def test_names_are_remembered_within_bounds() -> None:
    for n in range(10_000):
        assert read(b"X-Odd-%d: 1" % n)[0].name.text == b"X-Odd-%d" % n
    assert name_of(b"X-Odd-9999") is name_of(b"X-Odd-9999")
    long = b"X" * 10_000
    assert name_of(long) is not name_of(long)
    assert not hasattr(module, "re")
