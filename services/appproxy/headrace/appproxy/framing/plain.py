"""Heads as nearly all clients write them, read in a few steps; everything else is left to llhttp, which judges it.

What is read here llhttp reads the same: that is a law, and fuzzed. A line means the same in every head, so lines that came before,
on whatever connection, are not read again.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.appproxy.framing.heads import Headers

_METHODS: Final = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_OF_TARGETS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:@/?"
_OF_NAMES: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_OF_VALUES: Final = bytes(range(0x20, 0x7F))
_MOST_LINES = 4096
_LONGEST_LINE = 1024

_known: dict[bytes, tuple[bytes, bytes]] = {}
_find = _known.get


def plain(lines: list[bytes]) -> tuple[bytes, bytes, Headers] | None:
    """Return method, target and fields of a request in HTTP/1.1 from its lines, or None: somebody else has to read it."""
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1" or words[0] not in _METHODS:
        return None
    target = words[1]
    if not target.startswith(b"/") or target.translate(None, _OF_TARGETS):
        return None
    headers: list[Any] = list(map(_find, lines[1:]))
    if None in headers:
        for at, found in enumerate(headers):
            if found is None:
                headers[at] = _read(lines[at + 1])
                if headers[at] is None:
                    return None
    return words[0], target, headers


def _read(line: bytes) -> tuple[bytes, bytes] | None:
    """Return a field's name and value, or None. Each step goes over the line once: a pattern that tries blanks in several ways is
    quadratic in a line of blanks."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, _OF_NAMES):
        return None
    value = value.strip(b" \t")
    if (
        value.translate(None, _OF_VALUES) or name.lower() == b"transfer-encoding"
    ):  # where framing is not a mere number, llhttp has its say
        return None
    pair = (name, value)
    if len(line) <= _LONGEST_LINE:
        if len(_known) >= _MOST_LINES:
            _known.clear()
        _known[line] = pair
    return pair
