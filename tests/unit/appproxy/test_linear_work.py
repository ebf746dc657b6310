"""What reads bytes of callers and replicas: twice the input is at most twice the bytecodes, however the input is made or cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.appproxy.dataplane.auth import credentials
from headrace.appproxy.dataplane.headers import forwarded, rewrite
from headrace.appproxy.dataplane.headers.identity import is_identity_field
from headrace.appproxy.dataplane.http1 import fast_path, websocket
from headrace.appproxy.dataplane.http1.bodies import ChunkedBody
from headrace.appproxy.dataplane.http1.field_names import lines_of
from headrace.appproxy.dataplane.http1.heads import FramingError, HeadLimits, RequestHead, options
from headrace.appproxy.dataplane.http1.requests import RequestReader
from headrace.appproxy.dataplane.http1.responses import ResponseReader
from headrace.appproxy.dataplane.inspect import form_head, prompts, routing, usage
from headrace.appproxy.dataplane.inspect.json_head import JsonHead
from headrace.appproxy.dataplane.telemetry import traceparent
from tests.support.bytecodes import bytecodes
from tests.support.effort import some_of

WIDE = HeadLimits(line_bytes=2**20, field_bytes=2**20, head_bytes=2**20, fields=2**20)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
HARD = (
    b" ",
    b"\t",
    b"a",
    b"1",
    b",",
    b";",
    b":",
    b"=",
    b'"',
    b"\\",
    b"[",
    b"{",
    b"}",
    b"/",
    b"\x80",
    b"\r\n",
    b"\n",
    b"\r",
    b"a: b\r\n",
    b"a:\r\n",
    b' "',
    b'{"a":',
    b"[[",
    b'"model":',
    b'"model":"a",',
    b'"usage":',
    b'"usage":{',
    b'"messages":[',
    b'{"content":"a"},',
    b"\r\n--b",
    b"--b\r\n",
    b"\r\n--b\r\n\r\n",
    b';a="',
    b"1\r\na\r\n",
    b"1;a\r\n",
    b"data: {}\n\n",
    b"a.b",
    b"1.1.1.1, ",
    b"::1,",
    b"a=b,",
    b"%2F",
    b"..",
    b"\x82\x00",
    b"\x82\xfe\x00\x01",
)


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def _request(data: bytes, size: int) -> None:
    reader = RequestReader(WIDE)
    for piece in in_pieces(REQUEST + data + b"\r\n\r\n", size):
        reader.head(piece)


def _answer(data: bytes, size: int) -> None:
    reader = ResponseReader(WIDE)
    for piece in in_pieces(ANSWER + data + b"\r\n\r\n", size):
        reader.head(piece, to_head=False)


def _fed(made: Any, data: bytes, size: int, *more: Any) -> None:
    for piece in in_pieces(data, size):
        made.feed(piece, *more)


def _usage(kind: usage.UsageFormat, data: bytes, size: int) -> None:
    reader = usage.UsageReader(kind)
    _fed(reader, data, size, 0.0)
    assert reader.tokens is not None


def _json(data: bytes, size: int) -> None:
    reader = JsonHead(frozenset({"model", "prompt"}))
    _fed(reader, b'{"messages":[' + data, size)
    reader.end()


def _form(data: bytes, size: int) -> None:
    reader = form_head.FormHead(b"b")
    _fed(reader, b"--b\r\n" + data, size)
    reader.end()


def _head(value: bytes) -> RequestHead:
    pairs = [(b"Cookie", value), (b"Connection", value), (b"Traceparent", value)]
    return RequestHead(b"GET", b"/", 1, lines_of(pairs))


PARSERS: dict[str, Callable[[bytes, int], Any]] = {
    "request-head": _request,
    "request-field": lambda data, size: _request(b"A:" + data, size),
    "plain": lambda data, _: fast_path.read_plain_head([b"GET / HTTP/1.1", b"A:" + data, b"A:a" + data, data]),
    "answer-head": _answer,
    "chunked": lambda data, size: _fed(ChunkedBody(), data, size),
    "websocket-frames": lambda data, size: _fed(websocket.FrameTracker(), data, size),
    "trailers": lambda data, size: _fed(ChunkedBody(), b"0\r\n" + data, size),
    "json-head": _json,
    "form-head": _form,
    "form-head-of-a-part": lambda data, size: _form(b'Content-Disposition: form-data; name="' + data, size),
    "boundary": lambda data, _: form_head.boundary(b"multipart/form-data" + data),
    "members": lambda data, _: prompts.members_of('{"a":' + data.decode("latin1"), 0),
    "usage-of-events": lambda data, size: _usage("events", data, size),
    "usage-of-json": lambda data, size: _usage("json", data, size),
    "fields": lambda data, _: rewrite.rewrite_request(_head(data)),
    "a-cookie": lambda data, _: rewrite.cookie(_head(data), b"a"),
    "field-name": lambda data, _: is_identity_field(b"x-" + data),
    "options": lambda data, _: options(data),
    "forwarded": lambda data, _: forwarded.client_address("10.0.0.1", [data], []),
    "traceparent": lambda data, _: traceparent.parse([data]),
    "tracestate": lambda data, _: traceparent.state([data]),
    "credentials": lambda data, _: [
        credentials.parse_credential(word + data) for word in (b"", b"Bearer ", b"Basic ", b"BackendAI ")
    ],
    "target": lambda data, _: routing.locate(f"/{data.decode('latin1')}", data.decode("latin1"), "models.test"),
    "absolute": lambda data, _: routing.origin_form("http://" + data.decode("latin1"), ""),
}


@pytest.mark.parametrize("name", PARSERS)
def test_twice_the_input_is_at_most_twice_the_bytecodes(name: str) -> None:
    parse = PARSERS[name]
    fast_path.forget_lines()  # once in thousands of lines it forgets them all, and not while they are counted
    for hard in HARD:
        for size in some_of((7, 1, 10**6)):
            few = bytecodes(lambda: parse(hard * 40, size), FramingError, ValueError)  # noqa: B023 - called at once
            many = bytecodes(lambda: parse(hard * 80, size), FramingError, ValueError)  # noqa: B023
            assert many <= 2.1 * few + 400, (hard, size, few, many)


def test_a_field_of_blanks_is_read_by_steps_that_go_over_it_once() -> None:
    """A pattern that tried blanks as the value's and as those around it took 21 s for this line."""
    line = b"A:" + b" " * 65_000 + b"\x80"
    assert fast_path.read_plain_head([b"GET / HTTP/1.1", line]) is None
    assert bytecodes(lambda: fast_path.read_plain_head([b"GET / HTTP/1.1", line])) < 400
    assert not hasattr(fast_path, "re"), "no pattern reads what anybody may send before its size was looked at"


def test_a_field_above_its_bound_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setattr("headrace.appproxy.dataplane.http1.requests.read_plain_head", read.extend)
    with pytest.raises(FramingError, match="larger than"):
        RequestReader(HeadLimits()).head(REQUEST + b"A:" + b" " * 30_000 + b"\x80\r\n\r\n")
    with pytest.raises(FramingError, match="more than"):
        RequestReader(HeadLimits()).head(REQUEST + b"A: b\r\n" * 200 + b"\r\n")
    assert read == []
