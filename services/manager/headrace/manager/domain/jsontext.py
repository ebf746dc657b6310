"""Structural limits of JSON texts: values and depth, counted before the text is parsed.

A parser's memory grows with both, and a body of a megabyte can hold hundreds of thousands of values.
"""

from __future__ import annotations

import re

MAX_VALUES = 10_000
"""The largest body that means anything has some 2,500."""
MAX_DEPTH = 32

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]', re.DOTALL)
"""A text, also one that does not end, or a structural character. Matches without going back, so that its work is linear."""


def too_much(raw: bytes) -> tuple[str, str] | None:
    """Return (found, allowed) of the bound that the text passes, None within all of them. The work is linear in the text."""
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
