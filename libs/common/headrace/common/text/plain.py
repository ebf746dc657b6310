"""Checks of plain text, and errors of parsed text."""

from __future__ import annotations

import re
from typing import TypeAlias

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Return True if `value` can be stored and passed to a program: no NULs and no lone surrogates, which escapes in a
    file can make.
    """
    return _NO_TEXT.search(value) is None


class WrittenFloat(float):
    """Float that keeps its written form: as text, 1.10 stays 1.10."""

    def __new__(cls, text: str) -> WrittenFloat:
        """Parse `text`. Raises ValueError if it is no number."""
        made = super().__new__(cls, text)
        made._text = text
        return made

    _text: str

    def __str__(self) -> str:
        return self._text


Place: TypeAlias = tuple[int, int]
"""Line and column in a text, from 1."""


class TextError(ValueError):
    """Invalid YAML or TOML. `path` is the location in the data, `place` in the text, as far as known; `found` and `allowed`
    say why.
    """

    def __init__(self, path: str, found: str, allowed: str, place: Place | None = None) -> None:
        super().__init__(f"{path or 'file'}: {found}; allowed: {allowed}")
        self.place = place
        self.path = path
        self.found = found
        self.allowed = allowed
