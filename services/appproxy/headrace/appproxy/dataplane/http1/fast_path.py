"""Fast path for request heads as nearly all clients write them; everything else is parsed by llhttp.

Whatever is accepted here llhttp parses to the same result, which is fuzzed. A header line means the same in every head,
so lines that were seen before, on whatever connection, are cached.
"""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.http1.field_names import ENCODING, known_name, name_of
from headrace.appproxy.dataplane.http1.heads import HeaderLine


def _only(allowed: bytes) -> bytes:
    """Return a table for bytes.translate that keeps bytes of `allowed` and marks all others."""
    return bytes(byte if byte in allowed else byte ^ 0xFF for byte in range(256))


_METHODS: Final = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_OF_TARGETS: Final = _only(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:@/?")
_OF_NAMES: Final = _only(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_OF_VALUES: Final = _only(bytes(range(0x20, 0x7F)))
_SPACE: Final = 0x20
_MAX_LINES: Final = 4096
_LONGEST_LINE: Final = 1024
_VARYING: Final = 64
"""Beyond so many misses of a name only one line in sixteen is cached: most values never repeat, as those of request
ids."""

_known: Final[dict[bytes, HeaderLine]] = {}


def read_plain_head(lines: list[bytes]) -> tuple[bytes, bytes, list[HeaderLine]] | None:
    """Return method, target and fields of an HTTP/1.1 request head from its lines, or None if llhttp must parse it."""
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1" or words[0] not in _METHODS:
        return None
    target = words[1]
    if not target.startswith(b"/") or target.translate(_OF_TARGETS) != target:
        return None
    found: list[HeaderLine] = []
    for at in range(1, len(lines)):
        line = _known.get(lines[at])
        if line is None:
            line = _read(lines[at])
            if line is None:
                return None
        found.append(line)
    return words[0], target, found


def _read(line: bytes) -> HeaderLine | None:
    """Parse a field line, or return None.

    Each step scans the line once: a pattern that matches blanks in several ways is quadratic in a line of blanks.
    """
    text, colon, value = line.partition(b":")
    if not colon or not text:
        return None
    name = known_name(text)
    if name is None:
        if text.translate(_OF_NAMES) != text:
            return None
        name = name_of(text)
    usual = len(value) > 1 and value[0] == _SPACE and value[1] > _SPACE and value[len(value) - 1] > _SPACE
    stripped = value[1:] if usual else value.strip(b" \t")
    if stripped.translate(_OF_VALUES) != stripped or name.kind == ENCODING:
        return None  # framing that is not a mere number is left to llhttp
    made = HeaderLine(name, stripped, line if usual else text + b": " + stripped)
    name.misses += 1
    if len(line) <= _LONGEST_LINE and (name.misses <= _VARYING or not name.misses & 15):
        if len(_known) >= _MAX_LINES:
            _known.clear()
        _known[line] = made
    return made
