"""Parse results of the HTTP/1 parsers, and the properties that each must have. Independent of any fuzzer: tests use it too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.appproxy.dataplane.http1.bodies import Body, ChunkedBody, UntilCloseBody, body_of
from headrace.appproxy.dataplane.http1.heads import (
    CHUNKED,
    UNTIL_CLOSE,
    FramingError,
    Headers,
    HeadLimits,
    RequestHead,
    ResponseHead,
)
from headrace.appproxy.dataplane.http1.requests import RequestReader
from headrace.appproxy.dataplane.http1.responses import ResponseReader

SMALL = HeadLimits(line_bytes=64, field_bytes=96, head_bytes=256, fields=6)
USUAL = HeadLimits()
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?)?")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_SIZE_LINE = re.compile(rb"[0-9a-fA-F]{1,15}\r\n")


@dataclass
class Message:
    """A parsed head, the body received so far, and whether the body is complete."""

    head: tuple[object, ...]
    again: bytes
    """The head written anew."""
    length: int
    content: bytes = b""
    raw: bytes = b""
    whole: bool = False


@dataclass
class Reading:
    """Everything parsed from one direction of a connection."""

    messages: list[Message] = field(default_factory=list)
    refused: bool = False
    extra: bool = False
    """Bytes came after the last message that anybody may read (answers only)."""

    @property
    def result(self) -> tuple[object, ...]:
        """Parts that must not depend on segmentation: complete messages, and the end state.

        The unfinished message counts unless parsing failed; then it is discarded.
        """
        kept = [m for m in self.messages if m.whole or not self.refused]
        return ([(m.head, m.content, m.whole) for m in kept], self.refused, self.extra)


def request_facts(head: RequestHead) -> tuple[object, ...]:
    """Return all parsed values of a request head."""
    return (
        head.method,
        head.target,
        head.minor,
        tuple(head.headers),
        head.host,
        head.length,
        head.keep_alive,
        head.connection,
        head.upgrade,
        head.expects,
    )


def response_facts(head: ResponseHead) -> tuple[object, ...]:
    """Return all parsed values of a response head, without its reason phrase."""
    return (head.status, head.minor, tuple(head.headers), head.length, head.keep_alive, head.connection)


def _take(body: Body, message: Message, data: bytes) -> None:
    if body.done:
        return
    content = body.feed(data) if data else b""
    message.content += content
    if isinstance(body, ChunkedBody):
        message.raw += body.raw if data else b""
    message.whole = body.done


def _fields(headers: Headers) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n"


class _Caller:
    """A downstream connection, parsed like in the app-proxy."""

    def __init__(self, limits: HeadLimits) -> None:
        self.reading = Reading()
        self._reader = RequestReader(limits)
        self._body: Body | None = None
        self._last = False

    def feed(self, data: bytes) -> None:
        while not self._last:
            if self._body is None:
                head = self._reader.head(data)
                if head is None:
                    return
                data = self._reader.rest
                again = b"%b %b HTTP/1.%d\r\n" % (head.method, head.target, head.minor) + _fields(head.headers)
                self.reading.messages.append(Message(request_facts(head), again, head.length))
                self._body = body_of(head.length)
                self._keep = head.keep_alive
            message = self.reading.messages[-1]
            message.whole = self._body.done
            _take(self._body, message, data)
            if not self._body.done:
                return
            data = self._body.rest if message.content or message.length else data
            self._body = None
            self._last = not self._keep


class _Replica:
    """One response on an upstream connection: interim heads, then the final one."""

    def __init__(self, limits: HeadLimits, *, to_head: bool) -> None:
        self.reading = Reading()
        self._reader = ResponseReader(limits)
        self._body: Body | None = None
        self._to_head = to_head

    def feed(self, data: bytes) -> None:
        while self._body is None:
            head = self._reader.head(data, to_head=self._to_head)
            if head is None:
                return
            data = self._reader.rest
            again = b"HTTP/1.%d %d x\r\n" % (head.minor, head.status) + _fields(head.headers)
            message = Message(response_facts(head), again, head.length)
            self.reading.messages.append(message)
            if head.status >= 200 or head.status == 101:
                self._body = body_of(head.length)
                message.whole = self._body.done
            else:
                message.whole = True
        message = self.reading.messages[-1]
        if self._body.done:
            self.reading.extra = self.reading.extra or bool(data)
            return
        _take(self._body, message, data)
        if self._body.done and self._body.rest:
            self.reading.extra = True


def read_requests(pieces: Sequence[bytes], limits: HeadLimits) -> Reading:
    """Parse a caller's bytes."""
    return _read(_Caller(limits), pieces)


def read_answer(pieces: Sequence[bytes], limits: HeadLimits, *, to_head: bool) -> Reading:
    """Parse a replica's bytes."""
    return _read(_Replica(limits, to_head=to_head), pieces)


def _read(side: _Caller | _Replica, pieces: Sequence[bytes]) -> Reading:
    try:
        for piece in pieces:
            side.feed(piece)
    except FramingError as error:
        assert 400 <= error.status <= 599, error.status
        assert error.code, "a refusal says why"
        assert "\n" not in error.detail, error.detail
        side.reading.refused = True
    return side.reading


def strict_chunks(raw: bytes) -> bytes:
    """Decode chunks that have only one interpretation; AssertionError on any others."""
    content, at = b"", 0
    while at < len(raw):
        line = _SIZE_LINE.match(raw, at)
        assert line, f"not a plain size line: {raw[at : at + 40]!r}"
        size, at = int(line[0], 16), line.end()
        assert size, "the end of a body inside its relayed chunks"
        content += raw[at : at + size]
        assert len(raw) >= at + size + 2, f"a chunk without its end: {raw[at : at + 40]!r}"
        assert raw[at + size : at + size + 2] == b"\r\n", f"a chunk without its end: {raw[at : at + 40]!r}"
        at += size + 2
    return content


def check_fields(headers: Headers, length: int, minor: int) -> None:
    """Raise AssertionError unless the fields are valid and give the body length `length` in at most one way."""
    for name, value in headers:
        assert _TOKEN.fullmatch(name), f"a name that is no token: {name!r}"
        assert _VALUE.fullmatch(value), f"a value that is not clean: {value!r}"
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    encodings = [value.lower() for name, value in headers if name.lower() == b"transfer-encoding"]
    assert len(lengths) + len(encodings) <= 1, f"ambiguous: {lengths} {encodings}"
    assert encodings in ([], [b"chunked"]), encodings
    assert not encodings or minor == 1, "a transfer encoding in HTTP/1.0"
    if length > 0:
        assert len(lengths) == 1, "a body that no field tells of"
        assert int(lengths[0]) == length, lengths
    if length == CHUNKED:
        assert encodings, "chunks that no field tells of"
    if length == UNTIL_CLOSE:
        assert not lengths, lengths


def check_request(message: Message) -> None:
    """Raise AssertionError when an accepted request is not clean, or parses differently once serialised again."""
    method, target, minor, headers, *_ = message.head
    assert isinstance(target, bytes)
    assert isinstance(headers, tuple)
    assert isinstance(minor, int)
    assert _TARGET.fullmatch(target), target
    assert _TOKEN.fullmatch(method), method  # type: ignore[call-overload]
    hosts = [value for name, value in headers if name.lower() == b"host"]
    assert len(hosts) == 1 or (not hosts and minor == 0), hosts
    check_fields(list(headers), message.length, minor)
    again = read_requests([message.again], HeadLimits(1 << 20, 1 << 20, 1 << 20, 1 << 12))
    assert not again.refused, "what was accepted is refused once written anew"
    assert again.messages[0].head == message.head, (again.messages[0].head, message.head)
    _check_body(message)


def check_answer(message: Message, *, to_head: bool) -> None:
    """Raise AssertionError when an accepted response is not clean, or parses differently once serialised again."""
    status, minor, headers, *_ = message.head
    assert isinstance(headers, tuple)
    assert isinstance(minor, int)
    assert isinstance(status, int)
    assert 100 <= status <= 599
    bodiless = to_head or status < 200 or status in {204, 304}
    assert not (bodiless and message.length), "a body where none can be"
    if not bodiless:
        check_fields(list(headers), message.length, minor)
    again = read_answer([message.again], HeadLimits(1 << 20, 1 << 20, 1 << 20, 1 << 12), to_head=to_head)
    assert not again.refused, "what was accepted is refused once written anew"
    assert again.messages[0].head == message.head, (again.messages[0].head, message.head)
    _check_body(message)


def _check_body(message: Message) -> None:
    if message.length == CHUNKED:
        assert strict_chunks(message.raw) == message.content, "the relayed chunks are not the content"
    elif message.length >= 0:
        assert len(message.content) <= message.length
        assert message.whole == (len(message.content) == message.length)
    else:
        assert not message.whole
        assert isinstance(body_of(message.length), UntilCloseBody)
