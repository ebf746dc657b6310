"""Request parser (RFC 9112): parses a complete head at once, so that TCP segmentation makes no difference."""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from headrace.appproxy.dataplane.http1.fast_path import read_plain_head
from headrace.appproxy.dataplane.http1.field_names import CONNECTION, ENCODING, EXPECT, HOST, LENGTH, UPGRADE, lines_of
from headrace.appproxy.dataplane.http1.head_cache import HeadCache
from headrace.appproxy.dataplane.http1.heads import (
    BLANKS,
    CHUNKED,
    KEEP_ALIVE,
    MAX_LENGTH,
    FramingError,
    Headers,
    HeadLimits,
    RequestHead,
    options,
    persists,
)
from headrace.common.contracts.reasons.proxy import ProxyReason

_BLANK: Final[tuple[bytes, ...]] = (b"\r", b"\n")
_MAX_BLANKS: Final = 16
_MAX_DIGITS: Final = 16
_LINE_FEED: Final = 0x0A
_CARRIAGE_RETURN: Final = 0x0D
_END: Final = b"\r\n\r\n"
_FRAGMENT: Final = 0x23
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_OTHER_VERSION: Final = re.compile(rb"\S+ \S+ HTTP/[0-9]\.[0-9]\r")
_METHODS: Final = frozenset(
    b"GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH QUERY".split()
)
_REFUSED: Final = frozenset({b"TRACE", b"CONNECT"})
_NO_HEADERS: Final[Headers] = []
"""Never filled."""


class RequestReader:
    """Incremental request parser of one downstream connection. `rest` holds the bytes after the last returned head."""

    __slots__ = ("_blanks", "_cache", "_headers", "_held", "_limits", "_url", "rest")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._held = b""
        self._headers = _NO_HEADERS
        self._url = b""
        self._blanks = 0
        self._cache: HeadCache[RequestHead] = HeadCache(limits.head_bytes)
        self.rest = b""

    @property
    def begun(self) -> bool:
        """True if part of a head was received."""
        return bool(self._held)

    def on_url(self, url: bytes) -> None:
        """Callback of llhttp."""
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Callback of llhttp."""
        self._headers.append((name, value if value[-1:] not in BLANKS else value.strip(b" \t")))

    def head(self, data: bytes) -> RequestHead | None:
        """Return the next head, or None while it is incomplete. Raises FramingError."""
        begun = len(self._held)
        if begun:
            data = self._held + data
            self._held = b""
        elif (known := self._cache.find(data)) is not None:
            self._blanks = 0
            self.rest = data[self._cache.end :]
            return known
        if not data or data[0] <= _CARRIAGE_RETURN:  # RFC 9112 section 2.2: empty lines before a request are skipped
            data, begun = self._without_empty_lines(data), 0
        if begun and data.find(_END, max(begun - len(_END) + 1, 0)) < 0:  # what was looked at is not looked at again
            self._buffer(data, begun)
            return None
        text, end, rest = data.partition(_END)
        if not end:
            self._buffer(data, begun)
            return None
        if len(text) + len(end) > self._limits.head_bytes:
            raise FramingError(ProxyReason.HEAD_TOO_LARGE, f"the head is larger than {self._limits.head_bytes} bytes")
        self._blanks = 0
        self.rest = rest
        head = self._read(text)
        if self._cache.wants(len(text) + len(end)):
            self._cache.learn(text + end, head)
        return head

    def _without_empty_lines(self, data: bytes) -> bytes:
        start = 0
        while data.startswith(b"\r\n", start):
            start += 2
        self._blanks += start
        rest = data[start:]
        if self._blanks > _MAX_BLANKS or (rest[:1] in _BLANK and rest != b"\r"):
            raise FramingError(ProxyReason.BAD_REQUEST, "what comes before the request line is not a few empty lines")
        return rest

    def _buffer(self, data: bytes, begun: int) -> None:
        """Buffer an incomplete head. Its first `begun` bytes were scanned before and are not scanned again: heads come
        in any pieces.
        """
        limits = self._limits
        if len(data) > limits.head_bytes:
            raise FramingError(ProxyReason.HEAD_TOO_LARGE, f"the head is larger than {limits.head_bytes} bytes")
        if _LINE_FEED in data:
            if _BARE_LF.search(data, begun):
                raise FramingError(ProxyReason.BAD_REQUEST, "a line of the head does not end with CRLF")
        elif len(data) - data.endswith(b"\r") > limits.line_bytes:
            raise FramingError(ProxyReason.LINE_TOO_LONG, f"the request line is longer than {limits.line_bytes} bytes")
        self._held = data

    def _read(self, text: bytes) -> RequestHead:
        """Return the head that `text` is, without its last two line ends."""
        lines = text.split(b"\r\n")
        if len(lines[0]) > self._limits.line_bytes:
            raise self._bad_line(len(lines[0]))
        if len(text) > self._limits.field_bytes or len(lines) > self._limits.fields:
            self._check_sizes(lines)
        found = read_plain_head(lines)
        if found is not None:
            head = RequestHead(found[0], found[1], 1, found[2])
            head.plain_target = True
        else:
            head = self.parse_head(text + _END)
        if len(head.lines) > self._limits.fields:
            raise self._too_many()
        _frame(head)
        return head

    def parse_head(self, raw: bytes) -> RequestHead:
        """Parse the head in `raw` with llhttp."""
        line = raw.find(b"\n") - 1
        minor = 1 if raw[: line + 1].endswith(b" HTTP/1.1\r") else _minor_version(raw, line)
        if raw.count(b" ", 0, line) != 2 or line > self._limits.line_bytes:
            raise self._bad_line(line)
        headers: Headers = []
        self._headers = headers
        parser = HttpRequestParser(self)  # one parser per head: no state is carried over to the next request
        try:
            parser.feed_data(raw)
        except HttpParserUpgrade:  # we parse what follows: only a 101 ends HTTP
            pass
        except HttpParserInvalidMethodError:
            raise FramingError(ProxyReason.UNKNOWN_METHOD, "the method is not supported") from None
        except HttpParserError as error:  # its text names the violated rule, never the bytes
            raise FramingError(ProxyReason.BAD_REQUEST, f"the head is malformed: {str(error)[:100]}") from None
        method = parser.get_method()
        if method not in _METHODS:
            raise FramingError(
                ProxyReason.UNKNOWN_METHOD, "the method is not supported", other_status=method in _REFUSED
            )
        url, self._url, self._headers = self._url, b"", _NO_HEADERS  # an idle connection holds no request
        if _FRAGMENT in url:
            raise FramingError(ProxyReason.BAD_REQUEST, "a request target has no fragment")
        return RequestHead(method, url, minor, lines_of(headers))

    def _bad_line(self, line: int) -> FramingError:
        most = self._limits.line_bytes
        if line > most:
            return FramingError(ProxyReason.LINE_TOO_LONG, f"the request line is longer than {most} bytes")
        return FramingError(ProxyReason.BAD_REQUEST, "the request line is not METHOD SP target SP version")

    def _check_sizes(self, lines: list[bytes]) -> None:
        """Refuse oversized heads before parsing: raw lines with their names and blanks."""
        limits = self._limits
        if len(lines) - 1 > limits.fields:
            raise self._too_many()
        if any(len(line) > limits.field_bytes for line in lines[1:]):
            raise FramingError(ProxyReason.FIELD_TOO_LARGE, f"a field is larger than {limits.field_bytes} bytes")

    def _too_many(self) -> FramingError:
        return FramingError(ProxyReason.TOO_MANY_FIELDS, f"the head has more than {self._limits.fields} fields")


def _frame(head: RequestHead) -> None:
    """Set the body's length from the framing fields."""
    hosts = framings = 0
    for line in head.lines:
        kind = line.name.kind
        if kind < 0:
            continue
        if kind == HOST:
            hosts += 1
            head.host = line.value
        elif kind == LENGTH:
            framings += 1
            head.length = length_of(line.value)
        else:
            framings += kind == ENCODING
            _other_field(head, kind, line.value)
    if hosts != 1 and (hosts or head.minor):
        raise FramingError(ProxyReason.BAD_HOST, f"the request has {hosts} Host fields; allowed: one")
    if framings > 1:
        raise FramingError(ProxyReason.BAD_FRAMING, "the request does not say in one way how long its body is")
    if head.connection:
        head.keep_alive = persists(head.connection, head.keep_alive)


def _other_field(head: RequestHead, kind: int, value: bytes) -> None:
    if kind == CONNECTION:
        usual = not head.connection and (value == b"keep-alive" or value == b"Keep-Alive")  # noqa: PLR1714 - no set is built
        head.connection = KEEP_ALIVE if usual else head.connection + options(value)
    elif kind == UPGRADE:
        head.upgrade = value.lower()
    elif kind == EXPECT:
        if value.lower() != b"100-continue":
            raise FramingError(ProxyReason.BAD_EXPECTATION, "the only expectation that is met is 100-continue")
        head.expects = head.minor == 1
    else:
        if value.lower() != b"chunked":
            raise FramingError(ProxyReason.BAD_TRANSFER_ENCODING, "the only transfer encoding that is read is chunked")
        if not head.minor:
            raise FramingError(ProxyReason.BAD_FRAMING, "HTTP/1.0 has no transfer encodings")
        head.length = CHUNKED


def length_of(value: bytes) -> int:
    """Parse a Content-Length. Raises FramingError."""
    length = _number(value) if 0 < len(value) <= _MAX_DIGITS else -1
    if length < 0 or length > MAX_LENGTH:
        raise FramingError(ProxyReason.BAD_FRAMING, "Content-Length is not a number of bytes")
    return length


def _number(digits: bytes) -> int:
    """Return the number, or -1 for anything else. `int` is slow to begin, and accepts blanks and signs too."""
    number = 0
    for at in range(len(digits)):
        digit = digits[at] - 0x30
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


def _minor_version(raw: bytes, line: int) -> int:
    """Return the minor version of a request line that does not end with HTTP/1.1. Raises FramingError."""
    if raw[: line + 1].endswith(b" HTTP/1.0\r"):
        return 0
    if _OTHER_VERSION.fullmatch(raw[: line + 1]):
        raise FramingError(ProxyReason.BAD_VERSION, "the versions that are served are HTTP/1.1 and HTTP/1.0")
    raise FramingError(ProxyReason.BAD_REQUEST, "the request line is not METHOD SP target SP HTTP-version")
