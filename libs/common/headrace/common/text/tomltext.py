"""TOML text as plain data, with bounds: the parser's time grows with the square of a key's parts."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from headrace.common.text.plain import Place, TextError, WrittenFloat, is_text

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
_SAID_PLACE = re.compile(r"at line (\d+), column (\d+)")
_TOKEN = re.compile(rf"(?P<quoted>{_QUOTED.pattern})|(?P<bare>[A-Za-z0-9_-]+)|(?P<mark>[=\[\]{{}}\n])|[^\n]", re.DOTALL)


def load_toml(text: str) -> dict[str, Any]:
    """Parse TOML. Raises TextError."""
    _check_bounds(text)
    try:
        data = tomllib.loads(text, parse_float=WrittenFloat)
    except (RecursionError, ValueError) as error:
        said = _SAID_PLACE.search(str(error))
        place = (int(said[1]), int(said[2])) if said else None
        raise TextError("", str(error)[:200], "TOML text", place) from None
    _check(data)
    return data


def toml_places(text: str) -> dict[str, Place]:
    """Return the place of each table and key of a text that load_toml() takes, by its path; tomllib does not tell them.

    What is in a value (an array, an inline table) has no place of its own.
    """
    places: dict[str, Place] = {}
    table: list[str] = []
    key: list[str] = []
    start: Place | None = None
    line, line_start, depth, in_value, in_header = 1, 0, 0, False, False
    for token in _TOKEN.finditer(text):
        kind, found = token.lastgroup, token.group()
        at = (line, token.start() - line_start + 1)
        if found == "\n" and depth == 0:
            in_value, key, start = False, [], None
        elif kind == "mark" and found == "=" and not in_value:
            in_value = True
            places.setdefault(".".join([*table, *key]), start or at)
        elif kind == "mark" and in_value:
            depth += (found in "[{") - (found in "]}")
        elif kind == "mark" and found == "[":
            in_header, key, start = True, [], start or at
        elif kind == "mark" and found == "]" and in_header:
            in_header, table, key = False, key, []
            places.setdefault(".".join(table), start or at)
        elif kind in {"quoted", "bare"} and not in_value and not found.startswith("#"):
            key.append(found if kind == "bare" else found[1:-1])
            start = start or at
        if breaks := found.count("\n"):
            line += breaks
            line_start = token.start() + found.rindex("\n") + 1
    return places


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
            raise TextError("", f"line {line}: a key with more than {MAX_DOTS} dots", f"at most {MAX_DOTS}", (line, 1))
        if depth > MAX_DEPTH:
            raise TextError(
                "", f"line {line}: nested deeper than {MAX_DEPTH}", f"at most {MAX_DEPTH} levels", (line, 1)
            )
        if values > MAX_VALUES:
            raise TextError("", f"line {line}: more than {MAX_VALUES} values", f"at most {MAX_VALUES}", (line, 1))


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
