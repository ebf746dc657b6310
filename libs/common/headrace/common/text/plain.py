"""What counts as text."""

from __future__ import annotations

import re

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Return whether `value` can be stored and given to a program: escapes in a file can make NULs and halves of characters."""
    return _NO_TEXT.search(value) is None
