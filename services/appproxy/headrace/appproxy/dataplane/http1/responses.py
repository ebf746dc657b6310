"""Response parser (RFC 9112): heads by llhttp, strictly; the request's method decides whether a body follows."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from headrace.appproxy.dataplane.http1.head_cache import HeadCache
from headrace.appproxy.dataplane.http1.heads import (
    BLANKS,
    CHUNKED,
    UNSEEN,
    UNTIL_CLOSE,
    FramingError,
    Headers,
    HeaderTable,
    HeadLimits,
    ResponseHead,
    options,
    persists,
)
from headrace.appproxy.dataplane.http1.requests import length_of
from headrace.common.contracts.reasons.proxy import ProxyReason

_USUAL: Final = frozenset(status.phrase.encode() for status in HTTPStatus)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH: Final = 0
_ENCODING: Final = 1
_CONNECTION: Final = 2
_FIELDS: Final = HeaderTable({b"content-length": _LENGTH, b"transfer-encoding": _ENCODING, b"connection": _CONNECTION})
_seen: Final = _FIELDS.get
_BODILESS: Final = frozenset({204, 304})


class ResponseReader:
    """Incremental response parser of one upstream connection. `rest` holds the bytes after the last returned head."""

    __slots__ = ("_cache", "_headers", "_held", "_limits", "_reason", "on_header", "rest")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._held = b""
        self._headers: Headers = []
        self._reason = b""
        self._cache: HeadCache[ResponseHead] = HeadCache(limits.head_bytes)
        self.rest = b""
        self.on_header = self._on_header

    @property
    def begun(self) -> bool:
        """True if part of a head was received."""
        return bool(self._held)

    def on_status(self, reason: bytes) -> None:
        """Callback of llhttp."""
        self._reason = reason

    def _on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value if value[-1:] not in BLANKS else value.strip(b" \t")))

    def head(self, data: bytes, *, to_head: bool) -> ResponseHead | None:
        """Return the next head, or None while it is incomplete. Raises FramingError. `to_head`: the request was HEAD."""
        begun = len(self._held)
        if begun:
            data = self._held + data
            self._held = b""
        elif not to_head and (known := self._cache.find(data)) is not None:
            self.rest = data[self._cache.end :]
            return known
        end = data.find(b"\r\n\r\n", max(begun - 3, 0)) + 4
        if end > self._limits.head_bytes or (end < 4 and len(data) > self._limits.head_bytes):
            raise FramingError(ProxyReason.BAD_RESPONSE, "the answer's head is too large")
        if end < 4:
            if not b"HTTP/1.".startswith(data[:7]) or data.find(b"\n\n", max(begun - 1, 0)) >= 0:
                raise FramingError(ProxyReason.BAD_RESPONSE, "what came is not HTTP/1.x")
            self._held = data
            return None
        data, self.rest = data[:end], data[end:]
        head = self._head_of(data, to_head=to_head)
        if not to_head and head.status >= 200 and self._cache.wants(len(data)):
            self._cache.learn(data, head)
        return head

    def _head_of(self, data: bytes, *, to_head: bool) -> ResponseHead:
        start = data[:9]
        if start == b"HTTP/1.1 ":
            minor = 1
        elif start == b"HTTP/1.0 ":
            minor = 0
        else:
            raise FramingError(ProxyReason.BAD_RESPONSE, "what came is not HTTP/1.1 or HTTP/1.0")
        headers: Headers = []
        self._headers = headers
        self._reason = b""
        parser = HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            pass
        except HttpParserError as error:
            raise FramingError(
                ProxyReason.BAD_RESPONSE, f"the answer's head is malformed: {str(error)[:100]}"
            ) from None
        status = parser.get_status_code()
        if not 100 <= status <= 599 or len(headers) > self._limits.fields:
            raise FramingError(ProxyReason.BAD_RESPONSE, "the answer's head has no usable status, or too many fields")
        reason = self._reason
        if reason not in _USUAL and _CONTROL.search(reason):
            reason = b""
        head = ResponseHead(status, reason, minor, headers)
        _frame(head, to_head=to_head)
        return head


def _frame(head: ResponseHead, *, to_head: bool) -> None:  # noqa: C901 - one pass, on every answer
    framings = 0
    for name, value in head.headers:
        kind = _seen(name, UNSEEN)
        if kind is None:
            continue
        if kind is UNSEEN:
            kind = _FIELDS.learn(name)
        if kind == _LENGTH:
            framings += 1
            head.length = head.content_length = length_of(value)
        elif kind == _CONNECTION:
            head.connection += options(value)
        elif kind is not None:
            framings += 1
            head.length = _chunked(value, head.minor)
    if framings > 1 or (framings and head.status < 200):
        raise FramingError(ProxyReason.BAD_RESPONSE, "the answer does not say in one way how long it is")
    if head.connection:
        head.keep_alive = persists(head.connection, head.keep_alive)
    if to_head or head.status in _BODILESS or head.status < 200:
        head.length = 0
    elif head.length == UNTIL_CLOSE:
        head.keep_alive = False


def _chunked(value: bytes, minor: int) -> int:
    if value.lower() != b"chunked" or not minor:
        raise FramingError(ProxyReason.BAD_RESPONSE, "the answer has a transfer encoding that was not asked for")
    return CHUNKED
