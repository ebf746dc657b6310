"""TOML text as plain data, with bounds: the parser's time grows with the square of a key's parts."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from headrace.common.text.plain import TextError, WrittenFloat, is_text

MAX_DOTS = 100
MAX_VALUES = 5_000
MAX_DEPTH = 50

_QUOTED = re.compile(
    r"""\"{3}(?:[^"\\]|\\.|"(?!""))*+(?:\"{3})?|'{3}(?:[^']|'(?!''))*+(?:'{3})?"""
    r"""|"(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*+'?|\#[^\n]*+""",
    re.DOTALL,
)
"""Strings, also unterminated ones, and comments. Possessive, so that matching is linear."""
_MARK = re.compile(r"[=,\[\]{}.\n]")


def load_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises TextError."""
    _check_bounds(text)
    try:
        data = tomllib.loads(text, parse_float=WrittenFloat)
    except (RecursionError, ValueError) as error:
        raise TextError("", str(error)[:200], "TOML text") from None
    _check(data)
    return data


def _check_bounds(text: str) -> None:
    """Raise TextError for too many values, too deep nesting, or keys with too many parts."""
    values = depth = dots = 0
    line = 1
    for match in _MARK.finditer(_QUOTED.sub(_only_breaks, text)):
        mark = match.group()
        dots = dots + 1 if mark == "." else 0 if mark in "=,\n" else dots
        line += mark == "\n"
        values += mark in "=,[{"
        depth += (mark in "[{") - (mark in "]}")
        if dots > MAX_DOTS:
            raise TextError("", f"line {line}: a key with more than {MAX_DOTS} dots", f"at most {MAX_DOTS}")
        if depth > MAX_DEPTH:
            raise TextError("", f"line {line}: nested deeper than {MAX_DEPTH}", f"at most {MAX_DEPTH} levels")
        if values > MAX_VALUES:
            raise TextError("", f"line {line}: more than {MAX_VALUES} values", f"at most {MAX_VALUES}")


def _only_breaks(quoted: re.Match[str]) -> str:
    return "\n" * quoted.group().count("\n")


def _check(data: dict[str, Any]) -> None:
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and not is_text(value):
            raise TextError(path, "a NUL character", "text")
        if isinstance(value, dict):
            for key, item in value.items():
                if not is_text(key):
                    raise TextError(path, "a key with a NUL character", "text")
                waiting.append((f"{path}.{key}" if path else key, item))
        elif isinstance(value, list):
            waiting += [(f"{path}[{i}]", item) for i, item in enumerate(value)]
