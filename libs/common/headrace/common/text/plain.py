"""Text, and what is none."""

from __future__ import annotations

import re

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Return whether `value` can be stored and given to a program: escapes in a file can make NULs and halves of characters."""
    return _NO_TEXT.search(value) is None


class WrittenFloat(float):
    """A number that knows how it was written: as text, 1.10 stays 1.10."""

    def __new__(cls, text: str) -> WrittenFloat:
        """Read `text`. Raises ValueError when it is no number."""
        made = super().__new__(cls, text)
        made._text = text
        return made

    _text: str

    def __str__(self) -> str:
        return self._text


class TextError(ValueError):
    """A text is not usable YAML or TOML. `path` is where in the data, as far as it is known; `found` and `allowed` say why."""

    def __init__(self, path: str, found: str, allowed: str) -> None:
        super().__init__(f"{path or 'file'}: {found}; allowed: {allowed}")
        self.path = path
        self.found = found
        self.allowed = allowed
