"""Fast path for request heads as nearly all clients write them; everything else is parsed by llhttp.

Whatever is accepted here llhttp parses to the same result, which is fuzzed. A header line means the same in every head,
so lines that were seen before, on whatever connection, are cached.
"""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.http1.field_names import ENCODING, known_name, name_of
from headrace.appproxy.dataplane.http1.heads import HeaderLine, HeaderName


def _only(allowed: bytes) -> bytes:
    """Return a table for bytes.translate that keeps bytes of `allowed` and marks all others."""
    return bytes(byte if byte in allowed else byte ^ 0xFF for byte in range(256))


_METHODS: Final = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_VERSION: Final = b" HTTP/1.1"
_OF_TARGETS: Final = _only(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:@/?")
_OF_NAMES: Final = _only(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_OF_VALUES: Final = _only(bytes(range(0x20, 0x7F)))
_SPACE: Final = 0x20
_MAX_LINES: Final = 4096
_LONGEST_LINE: Final = 1024
_VARYING: Final = 64
"""Beyond so many misses of a name whose lines hardly ever repeat, as those of request ids, only one line in sixteen is
cached."""

_known: Final[dict[bytes, HeaderLine]] = {}
_BEGIN: Final = HeaderLine(name_of(b"-"), b"", b"")
"""Stands before the first field of every head."""


def read_plain_head(lines: list[bytes]) -> tuple[bytes, bytes, list[HeaderLine]] | None:
    """Return method, target and fields of an HTTP/1.1 request head from its lines, or None if llhttp must parse it."""
    first = lines[0]
    method = b"POST" if first.startswith(b"POST ") else first.partition(b" ")[0]
    start, stop = len(method) + 1, len(first) - len(_VERSION)
    if start >= stop or method not in _METHODS or not first.endswith(_VERSION):
        return None  # compiled, a slice that ends before it begins is an error
    target = first[start:stop]
    if not target.startswith(b"/") or target.translate(_OF_TARGETS) != target:
        return None
    found: list[HeaderLine] = []
    before = _BEGIN
    for at in range(1, len(lines)):
        received = lines[at]
        # Clients write their fields in one order: the line that followed last time is compared first, and mostly it is the one.
        guess = before.follower
        if guess is not None and guess.received == received:
            line = guess
        else:
            known = _known.get(received)
            if known is None:
                known = _read(received, guess)
                if known is None:
                    return None
            else:
                known.name.hits += 1
            if known.remembered and not known.name.secret:
                before.follower = known
            line = known
        found.append(line)
        before = line
    return method, target, found


def _read(received: bytes, guess: HeaderLine | None) -> HeaderLine | None:
    """Parse a field line, or return None. `guess`: a line that may have the same name.

    Each step scans the line once: a pattern that matches blanks in several ways is quadratic in a line of blanks.
    """
    guessed = guess is not None and received.startswith(guess.name.prefix)
    name = guess.name if guess is not None and guessed else _name(received)
    if name is None:
        return None
    usual = guessed or received.startswith(name.prefix)
    value = received[len(name.prefix) if usual else len(name.text) + 1 :]
    if not (value and value[0] > _SPACE and value[len(value) - 1] > _SPACE):
        value, usual = value.strip(b" \t"), False
    if value.translate(_OF_VALUES) != value or name.kind == ENCODING:
        return None  # framing that is not a mere number is left to llhttp
    line = HeaderLine(name, value, received if usual else name.prefix + value, received)
    if guess is not None and guessed:
        line.follower = guess.follower
    name.misses += 1
    if len(received) <= _LONGEST_LINE and _is_worth_remembering(name):
        if len(_known) >= _MAX_LINES:
            forget_lines()
        _known[received] = line
        line.remembered = True
    return line


def _name(received: bytes) -> HeaderName | None:
    """Return the name of a field line, or None if it is no token."""
    text, colon, _ = received.partition(b":")
    if not colon or not text:
        return None
    name = known_name(text)
    if name is None and text.translate(_OF_NAMES) == text:
        name = name_of(text)
    return name


def _is_worth_remembering(name: HeaderName) -> bool:
    return name.misses <= _VARYING or name.hits * 8 >= name.misses or not name.misses & 15


def forget_lines() -> None:
    """Clear the cache, and the references between its lines: a line that an open request has would keep all others alive."""
    for line in _known.values():
        line.remembered, line.follower = False, None
    _BEGIN.follower = None
    _known.clear()
