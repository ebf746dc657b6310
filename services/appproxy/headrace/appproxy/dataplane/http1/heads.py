"""Parsed message heads, and the error for malformed ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from headrace.common.contracts.reasons.proxy import ProxyReason

Headers = list[tuple[bytes, bytes]]
"""Names as sent, values without surrounding whitespace; in order, duplicates kept."""

CHUNKED: Final = -1
"""Length of a body in the chunked transfer coding."""
UNTIL_CLOSE: Final = -2
"""Length of a response body that is delimited by the end of the connection."""
BLANKS: Final = frozenset({b" ", b"\t"})
UNSEEN: Final[Any] = object()
MAX_LENGTH: Final = 1 << 53
"""Lengths above this are refused: no body is that large, and no peer can parse the number differently."""
_REMEMBERED: Final = 4096
_COMMA: Final = 0x2C
_LENGTH_NAME: Final = len(b"content-length")
KEEP_ALIVE: Final[tuple[bytes, ...]] = (b"keep-alive",)
"""Usual options of `Connection`."""
K = TypeVar("K")


class HeaderTable(Generic[K]):
    """Case-insensitive lookup table of header fields: caches each spelling, so that a look-up is one step."""

    __slots__ = ("_known", "_otherwise", "_seen", "get")

    def __init__(self, known: Mapping[bytes, K], *, otherwise: Callable[[bytes], K | None] = lambda _: None) -> None:
        """`known`: values by names in lower case; `otherwise(name in lower case)` is called for all others."""
        self._known = dict(known)
        self._otherwise = otherwise
        self._seen: dict[bytes, K | None] = {}
        self.get = self._seen.get
        """`get(name, UNSEEN)`: the cached value, None for nothing, UNSEEN if `learn(name)` must be called."""

    def learn(self, name: bytes) -> K | None:
        """Return the value for this field, and cache this spelling. The cache is bounded: callers choose spellings."""
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        low = name.lower()
        found = self._seen[name] = self._known[low] if low in self._known else self._otherwise(low)
        return found


class HeaderName:
    """Field name in one spelling, with its entry of the table."""

    __slots__ = ("disposition", "hits", "kind", "misses", "prefix", "secret", "text")

    def __init__(self, text: bytes, kind: int, *, secret: bool = False) -> None:
        self.text = text
        self.secret = secret
        """Whether its values are credentials, which are compared by their hash first: bytes in turn would tell by time how many agree."""
        self.prefix = text + b": "
        """Beginning of nearly all of its lines."""
        self.kind = kind
        """Kind of framing field (http1.field_names); below 0: none."""
        self.disposition = -1
        """Disposition of the field (headers.rewrite); below 0: not looked up yet."""
        self.misses = self.hits = 0
        """Number of its lines that were fully parsed, and of those that were found in the cache."""


class HeaderLine:
    """One field of a request. Immutable: several requests may share it."""

    __slots__ = ("follower", "forwarded", "name", "raw", "received", "remembered", "value")

    def __init__(self, name: HeaderName, value: bytes, raw: bytes, received: bytes = b"") -> None:
        self.name = name
        self.value = value
        """Without surrounding whitespace."""
        self.raw = raw
        """`name: value`, as it is forwarded."""
        self.received = received
        """As it was received; empty if it was not parsed as a line."""
        self.remembered = False
        """Whether it is in the cache of lines."""
        self.follower: HeaderLine | None = None
        """The line that came after it last: a guess for the next head, compared with its line before it is used."""
        self.forwarded: bytes | None = None
        """Part of it that is forwarded to a replica (headers.rewrite), once computed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderLine) and self.raw == other.raw and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.raw)


class FramingError(Exception):
    """Invalid message framing. Nothing after it on the connection can be parsed.

    `status` and `code` are what a caller gets (of replicas' errors only the `code`); `other_status`: the second of the
    two statuses that the code may have.
    """

    def __init__(self, code: ProxyReason, detail: str, *, other_status: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status: int = (other_status and code.other_status) or code.status


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Limits of a head: bytes of the first line, of one header field, of the whole head, and number of fields."""

    line_bytes: int = 16_384
    field_bytes: int = 16_384
    head_bytes: int = 65_536
    fields: int = 128


class RequestHead:
    """Request head. `length` is the body's: a number of bytes, or CHUNKED. `minor`: of HTTP/1.x.

    Immutable: the next request of the connection may share it.
    """

    host = b""
    length = 0
    connection: tuple[bytes, ...] = ()
    """Options of `Connection`, in lower case."""
    upgrade = b""
    """Value of `Upgrade`, in lower case."""
    expects = False
    """True if the caller waits for `100 Continue`."""
    memo: Any = None
    """Cached RequestPlan, for requests with the same head."""

    plain_target = False
    """True if the target is a path of visible ASCII without a fragment."""

    def __init__(self, method: bytes, target: bytes, minor: int, lines: list[HeaderLine]) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.lines = lines
        self.keep_alive = minor == 1

    @property
    def headers(self) -> Headers:
        """Fields as (name, value) pairs."""
        return [(line.name.text, line.value) for line in self.lines]

    def resized(self, length: int, digits: bytes) -> RequestHead:
        """Return the same head with another Content-Length."""
        lines = self.lines.copy()
        for at, line in enumerate(lines):
            text = line.name.text
            if len(text) == _LENGTH_NAME and text.lower() == b"content-length":
                lines[at] = HeaderLine(line.name, digits, text + b": " + digits)
        twin = RequestHead(self.method, self.target, self.minor, lines)
        twin.plain_target = self.plain_target
        twin.host, twin.length, twin.keep_alive = self.host, length, self.keep_alive
        twin.connection, twin.upgrade, twin.expects = self.connection, self.upgrade, self.expects
        twin.memo = self.memo
        return twin


class ResponseHead:
    """Response head. `length` is the body's: a number of bytes, CHUNKED, or UNTIL_CLOSE.

    Immutable: the next response of the connection may share it.
    """

    length = UNTIL_CLOSE
    content_length: int | None = None
    """Value of Content-Length, also if no body follows."""
    connection: tuple[bytes, ...] = ()
    memo: Any = None
    """Cached ResponseRewrite, for responses with the same head."""

    def __init__(self, status: int, reason: bytes, minor: int, headers: Headers) -> None:
        self.status = status
        self.reason = reason
        self.minor = minor
        self.headers = headers
        self.keep_alive = minor == 1

    def resized(self, length: int, digits: bytes) -> ResponseHead:
        """Return the same head with another Content-Length."""
        twin = ResponseHead(self.status, self.reason, self.minor, _resized(self.headers, digits))
        twin.length = twin.content_length = length
        twin.keep_alive, twin.connection, twin.memo = self.keep_alive, self.connection, self.memo
        return twin


def _resized(headers: Headers, digits: bytes) -> Headers:
    twins = headers.copy()
    for at, (name, _) in enumerate(headers):
        if len(name) == _LENGTH_NAME and name.lower() == b"content-length":
            twins[at] = (name, digits)
    return twins


def options(value: bytes) -> tuple[bytes, ...]:
    """Return the comma-separated options of a header's value, in lower case."""
    if _COMMA not in value:
        one = value.strip().lower()
        return (one,) if one else ()
    return tuple(option for part in value.split(b",") if (option := part.strip().lower()))


def persists(connection: tuple[bytes, ...], otherwise: bool) -> bool:  # noqa: FBT001 - what the version says
    """Return True if the connection is persistent, by its `Connection` options (RFC 9112 section 9.3)."""
    if b"close" in connection:
        return False
    return otherwise or b"keep-alive" in connection
