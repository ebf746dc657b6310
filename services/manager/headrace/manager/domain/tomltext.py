"""TOML text as plain data, with bounds: the parser's time grows with the square of a key's parts."""

from __future__ import annotations

import tomllib
from typing import Any

from headrace.manager.domain.filetext import is_text

MAX_DOTS = 100


class TomlError(ValueError):
    """The text is not usable TOML. `path` is where in the data, as far as it is known; `found` and `allowed` say why."""

    def __init__(self, path: str, found: str, allowed: str) -> None:
        super().__init__(f"{path or 'file'}: {found}; allowed: {allowed}")
        self.path = path
        self.found = found
        self.allowed = allowed


def load_toml(text: str) -> dict[str, Any]:
    """Return the data in `text`. Raises TomlError."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise TomlError("", f"line {number}: {line.count('.')} dots", f"at most {MAX_DOTS} in a line")
    try:
        data = tomllib.loads(text)
    except (RecursionError, ValueError) as error:
        raise TomlError("", str(error)[:200], "TOML text") from None
    _check(data)
    return data


def _check(data: dict[str, Any]) -> None:
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and not is_text(value):
            raise TomlError(path, "a NUL character", "text")
        if isinstance(value, dict):
            for key, item in value.items():
                if not is_text(key):
                    raise TomlError(path, "a key with a NUL character", "text")
                waiting.append((f"{path}.{key}" if path else key, item))
        elif isinstance(value, list):
            waiting += [(f"{path}[{i}]", item) for i, item in enumerate(value)]
