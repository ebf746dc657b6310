"""Structural limits of JSON texts: values and depth, counted before the text is parsed.

A parser's memory grows with both, and a body of a megabyte can hold hundreds of thousands of values.
"""

from __future__ import annotations

import re

MAX_VALUES = 10_000
"""The largest meaningful body has about 2,500 values."""
MAX_DEPTH = 32

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]', re.DOTALL)
"""A string (also an unterminated one) or a structural character. Matches without backtracking, so that it runs in
linear time."""


def too_much(raw: bytes) -> tuple[str, str] | None:
    """Return (found, allowed) of the limit that the text exceeds, None within all limits. Runs in linear time."""
    opened = raw.count(b"[") + raw.count(b"{")
    if opened + raw.count(b",") <= MAX_VALUES and opened <= MAX_DEPTH:
        return None
    values = depth = 0
    for token in _TOKEN.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            values += 1
        elif first in b"]}":
            depth -= 1
        elif first == 0x2C:  # a comma
            values += 1
        if depth > MAX_DEPTH:
            return f"values nested deeper than {MAX_DEPTH}", f"at most {MAX_DEPTH} levels"
        if values > MAX_VALUES:
            return f"more than {MAX_VALUES} values", f"at most {MAX_VALUES}"
    return None
