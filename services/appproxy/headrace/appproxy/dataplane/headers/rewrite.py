"""Header rewriting of requests and responses: hop-by-hop fields end here (RFC 9110 section 7.6.1).

Identity fields are never taken from callers. Heads are rebuilt field by field; no raw part of a received head is
forwarded.
"""

from __future__ import annotations

import re
from typing import Final

from headrace.appproxy.dataplane.headers.identity import (
    holds_credential,
    is_identity_field,
    is_login_cookie,
    without_credentials,
)
from headrace.appproxy.dataplane.http1.heads import (
    KEEP_ALIVE,
    UNSEEN,
    HeaderLine,
    HeaderName,
    HeaderTable,
    RequestHead,
    ResponseHead,
)
from headrace.appproxy.dataplane.inspect.usage import UsageFormat, usage_kind

_HOP_BY_HOP: Final[tuple[bytes, ...]] = (
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
)
_OURS: Final[tuple[bytes, ...]] = (
    b"host",
    b"expect",
    b"forwarded",
    b"x-request-id",
    b"x-real-ip",
    b"authorization",
    b"proxy",
    b"content-length",
)
_HOST: Final = re.compile(rb"^[A-Za-z0-9._~!$&'()*+;=%:\[\]-]{0,255}\Z")
_OF_IDS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_ONLY_IDS: Final = bytes(byte if byte in _OF_IDS else byte ^ 0xFF for byte in range(256))
_LONGEST_ID: Final = 64

PASSES: Final = 0
DROP: Final = 1
_VIA: Final = 2
AUTHORIZATION: Final = 3
REQUEST_ID: Final = 4
CHAIN: Final = 5
PROTO: Final = 6
FORWARDED_HOST: Final = 7
TRACEPARENT: Final = 8
TRACESTATE: Final = 9
X_API_KEY: Final = 10
API_KEY: Final = 11
SUBPROTOCOLS: Final = 12
"""Fields that the proxy consumes; they are not forwarded unchanged."""
_COOKIE: Final = 13
_OUR_VIA: Final = b"Via: 1.1 headrace"

_REQUEST: Final[dict[bytes, int]] = dict.fromkeys((*_HOP_BY_HOP, *_OURS), DROP) | {
    b"via": _VIA,
    b"authorization": AUTHORIZATION,
    b"x-request-id": REQUEST_ID,
    b"x-forwarded-for": CHAIN,
    b"x-forwarded-proto": PROTO,
    b"x-forwarded-host": FORWARDED_HOST,
    b"traceparent": TRACEPARENT,
    b"tracestate": TRACESTATE,
    b"x-api-key": X_API_KEY,
    b"api-key": API_KEY,
    b"sec-websocket-protocol": SUBPROTOCOLS,
    b"cookie": _COOKIE,
}


def _disposition(name: HeaderName) -> int:
    """Return, and cache, what is done with response fields of this name."""
    low = name.text.lower()
    if low in _REQUEST:
        known = _REQUEST[low]
    else:
        plain = low.replace(b"_", b"-")
        known = DROP if plain in _OURS or plain in _HOP_BY_HOP or is_identity_field(low) else PASSES
    name.disposition = known
    return known


_LENGTH: Final = 2
_REDIRECT: Final = 3
_DATE: Final = 4
_CONTENT_TYPE: Final = 5
_ENCODED: Final = 6
_LIMITS: Final = 7
_CORS: Final = 8
_SET_COOKIE: Final = 9


def _other_response_field(name: bytes) -> int | None:
    if name.startswith(b"x-ratelimit-"):
        return _LIMITS
    if name.startswith(b"access-control-"):
        return _CORS
    return DROP if name.replace(b"_", b"-").startswith(b"x-headrace-") else None


_RESPONSE: Final = HeaderTable[int](
    dict.fromkeys((*_HOP_BY_HOP, b"x-request-id"), DROP)
    | {
        b"content-length": _LENGTH,
        b"location": _REDIRECT,
        b"content-location": _REDIRECT,
        b"date": _DATE,
        b"content-type": _CONTENT_TYPE,
        b"content-encoding": _ENCODED,
        b"retry-after-ms": _LIMITS,
        b"set-cookie": _SET_COOKIE,
    },
    otherwise=_other_response_field,
)
_response_kind: Final = _RESPONSE.get
_LEFT_OUT: Final = frozenset({DROP, _LENGTH})
_PLAIN: Final = frozenset({None, _LIMITS, _CORS, _SET_COOKIE})
"""Dispositions of fields that `Connection` may name."""


def is_host(host: bytes) -> bool:
    """Return True for a valid Host field (RFC 9112 section 3.2); replicas build URLs from it."""
    return _HOST.match(host) is not None


def is_request_id(text: bytes) -> bool:
    """Return True if a caller's X-Request-Id is accepted."""
    return 0 < len(text) <= _LONGEST_ID and text.translate(_ONLY_IDS) == text


ConsumedFields = dict[int, list[bytes]]
_NOTHING: Final[ConsumedFields] = {}


def _forwarded(line: HeaderLine, kind: int) -> bytes:
    """Return, and cache, the part of a request field that is forwarded to a replica; empty if none."""
    forwarded = b""
    value = line.value
    if kind == PASSES:
        forwarded = b"" if holds_credential(value) else line.raw
    elif kind == _COOKIE:
        passing = without_credentials(value)
        if passing or not value:
            forwarded = line.raw if passing == value else line.name.text + b": " + passing
    line.forwarded = forwarded
    return forwarded


def rewrite_request(head: RequestHead) -> tuple[list[bytes], ConsumedFields]:
    """Return the request fields forwarded to the replica, without CRLF, and those that the proxy reads itself."""
    fields: list[bytes] = []
    consumed = _NOTHING
    named = head.connection
    if named is KEEP_ALIVE:  # that field is never forwarded
        named = ()
    via = b""
    for line in head.lines:
        forwarded = line.forwarded
        if forwarded is None:
            kind = line.name.disposition
            forwarded = _forwarded(line, kind if kind >= 0 else _disposition(line.name))
        if len(forwarded) > 0:  # compiled, that is a comparison, and a truth value is a call
            if not named or line.name.text.lower() not in named:
                fields.append(forwarded)
            continue
        kind = line.name.disposition
        if _VIA < kind < _COOKIE:
            if consumed is _NOTHING:
                consumed = {}
            values = consumed.get(kind)
            if values is None:
                consumed[kind] = [line.value]
            else:
                values.append(line.value)
        elif kind == _VIA:
            via += line.value + b", "
    fields.append(b"Via: " + via + b"1.1 headrace" if via else _OUR_VIA)
    return fields, consumed


def forwarded_fields(host: bytes, prefix: bytes) -> bytes:
    """Return the X-Forwarded-* fields, by which a replica knows how the caller addressed it."""
    fields = b"X-Forwarded-Host: " + host + b"\r\n"
    return fields + b"X-Forwarded-Prefix: " + prefix + b"\r\n" if prefix else fields


def field(head: RequestHead, name: bytes) -> bytes:
    """Return the first value of the field `name` (in lower case), or an empty value."""
    return next((line.value for line in head.lines if line.name.text.lower() == name), b"")


def single_field(head: RequestHead, name: bytes) -> bytes:
    """Return the value of the field `name` (in lower case), or an empty value if it is missing or repeated."""
    values = [line.value for line in head.lines if line.name.text.lower() == name]
    return values[0] if len(values) == 1 else b""


def cookie(head: RequestHead, name: bytes) -> bytes:
    """Return the value of a cookie (RFC 6265 section 4.2.1), or an empty value."""
    for pair in field(head, b"cookie").split(b";"):
        key, _, value = pair.strip().partition(b"=")
        if key == name:
            return value
    return b""


class ResponseRewrite:
    """Rewritten response head: framing, and the fields without the status line. Made once for equal heads."""

    __slots__ = ("chunked", "closes", "cors", "dated", "events", "fields", "limits", "made_for", "until_close", "usage")

    def __init__(self, made_for: tuple[int, bool, bytes, bytes]) -> None:
        self.made_for = made_for
        """Key of the rewrite: HTTP version and closing of the caller's connection, replica and prefix."""
        self.fields = b""
        self.limits = b""
        """The replica's own rate-limit fields, for callers without limits."""
        self.cors = b""
        """The replica's own CORS fields, for services whose CORS is left to it."""
        self.dated = False
        self.chunked = False
        self.until_close = False
        self.closes = False
        """True if the caller's connection is closed after this response."""
        self.usage: UsageFormat | None = None
        """How token usage is read from the content; None if it cannot be."""
        self.events = False
        """True for an event stream into which an error event may be written."""

    def head(self, head: ResponseHead, *, date: bytes, extra: bytes, cors: bytes, request_id: bytes) -> bytes:
        """Return the complete head of one response.

        date: for responses without one; extra: rate-limit fields, if the caller has limits, which replace the replica's
        own; cors: likewise for CORS.
        """
        length = (
            b""
            if head.content_length is None or head.status == 204
            else b"Content-Length: %d\r\n" % head.content_length
        )
        if not self.dated:
            length += date
        return b"".join(
            (self.fields, length, extra or self.limits, cors or self.cors, b"X-Request-Id: ", request_id, b"\r\n\r\n")
        )


_lines: Final[dict[tuple[int, bytes], bytes]] = {}


def status_line(status: int, reason: bytes) -> bytes:
    """Return the status line of a response."""
    line = _lines.get((status, reason))
    if line is None:
        if len(_lines) > 1000:
            _lines.clear()
        line = _lines[status, reason] = b"HTTP/1.1 %d %b\r\n" % (status, reason)
    return line


def rewrite_response(head: ResponseHead, *, minor: int, closes: bool, replica: bytes, prefix: bytes) -> ResponseRewrite:
    """Return the response head for a caller: the replica's without hop-by-hop fields.

    minor: the caller's HTTP/1.x; closes: its connection is closed afterwards. A redirect to the `replica` (`host:port`)
    itself, or to a path on it, is rewritten to below the `prefix`.
    """
    made_for = (minor, closes, replica, prefix)
    made: ResponseRewrite | None = head.memo
    if made is None or made.made_for != made_for:
        made = head.memo = _rewritten(head, ResponseRewrite(made_for))
    return made


def _rewritten(head: ResponseHead, made: ResponseRewrite) -> ResponseRewrite:
    minor, closes, replica, prefix = made.made_for
    fields = [status_line(head.status, head.reason)]
    limits: list[bytes] = []
    cors: list[bytes] = []
    named = head.connection
    content_type, encoded = b"", False
    for name, value in head.headers:
        kind = _response_kind(name, UNSEEN)
        if kind is UNSEEN:
            kind = _RESPONSE.learn(name)
        if kind in _LEFT_OUT or (named and kind in _PLAIN and name.lower() in named):
            continue
        if kind == _SET_COOKIE and is_login_cookie(value):
            continue
        made.dated |= kind == _DATE
        encoded |= kind == _ENCODED
        if kind == _CONTENT_TYPE:
            content_type = value
        (limits if kind == _LIMITS else cors if kind == _CORS else fields).append(
            name + b": " + (external_location(value, replica, prefix) if kind == _REDIRECT else value) + b"\r\n"
        )
    unknown = head.length < 0
    made.chunked = unknown and minor == 1
    made.until_close = unknown and not made.chunked
    made.closes = closes or made.until_close
    made.events = unknown and not encoded and content_type.lower().startswith(b"text/event-stream")
    made.usage = None if encoded else usage_kind(content_type)
    if made.chunked:
        fields.append(b"Transfer-Encoding: chunked\r\n")
    if made.closes:
        fields.append(b"Connection: close\r\n")
    elif not minor:
        fields.append(b"Connection: keep-alive\r\n")
    made.fields, made.limits, made.cors = b"".join(fields), b"".join(limits), b"".join(cors)
    return made


def switching_head(head: ResponseHead, *, extra: bytes, request_id: bytes, subprotocol: bytes = b"") -> bytes:
    """Return the head of a 101 response for the caller.

    `extra`: as for `ResponseRewrite.head`. `subprotocol`: the value sent if the replica chose none.
    """
    kept = [status_line(101, head.reason)]
    for name, value in head.headers:
        if name.lower() == b"sec-websocket-protocol":
            subprotocol = b""
        kind = _RESPONSE.learn(name)
        left_out = kind in _LEFT_OUT or (kind == _SET_COOKIE and is_login_cookie(value))
        if not left_out and not (extra and kind == _LIMITS):
            kept.append(name + b": " + value + b"\r\n")
    if subprotocol:
        kept.append(b"Sec-WebSocket-Protocol: " + subprotocol + b"\r\n")
    return b"".join(
        (
            *kept,
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
            extra,
            b"X-Request-Id: ",
            request_id,
            b"\r\n\r\n",
        )
    )


def external_location(address: bytes, replica: bytes, prefix: bytes) -> bytes:
    """Return a redirect's Location as the caller can use it; one to another host is not changed."""
    own = b"http://" + replica
    if replica and address.lower().startswith(own.lower()) and address[len(own) :][:1] in {b"", b"/", b"?", b"#"}:
        path = address[len(own) :]
        path = path if path.startswith(b"/") else b"/" + path
        if path.startswith(b"//") and not prefix:
            return b"/." + path  # without a path before them, two slashes would start a host
    elif address.startswith(b"/") and not address.startswith(b"//"):
        path = address
    else:
        return address
    inside = path == prefix or path.startswith((prefix + b"/", prefix + b"?", prefix + b"#"))
    return path if inside else prefix + path
