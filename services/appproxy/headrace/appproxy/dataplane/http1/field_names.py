"""Interned names of request fields, by their spelling.

Which of them frame the message is looked up once per spelling.
"""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.http1.heads import HeaderLine, HeaderName, Headers

HOST: Final = 0
LENGTH: Final = 1
ENCODING: Final = 2
CONNECTION: Final = 3
EXPECT: Final = 4
UPGRADE: Final = 5
NONE: Final = -1
_FRAMING: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
}
_SECRET: Final = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key", b"sec-websocket-protocol"}
)
_MAX_NAMES: Final = 4096
_LONGEST_NAME: Final = 128
_seen: Final[dict[bytes, HeaderName]] = {}


def name_of(text: bytes) -> HeaderName:
    """Return the interned name of a field, which must be a token (RFC 9110 section 5.1). The cache is bounded: callers
    choose spellings.
    """
    name = _seen.get(text)
    if name is None:
        lower = text.lower()
        name = HeaderName(text, _FRAMING.get(lower, NONE), secret=lower in _SECRET)
        if len(text) <= _LONGEST_NAME:
            if len(_seen) >= _MAX_NAMES:
                _seen.clear()
            _seen[text] = name
    return name


def known_name(text: bytes) -> HeaderName | None:
    """Return the interned name if it is in the cache."""
    return _seen.get(text)


def lines_of(headers: Headers) -> list[HeaderLine]:
    """Return a request's fields from (name, value) pairs."""
    return [HeaderLine(name_of(text), value, text + b": " + value) for text, value in headers]
