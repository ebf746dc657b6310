"""Common parts of definition file parsers: size limit, encoding, and errors with path, found and allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from headrace.common.contracts import problems, wording
from headrace.common.contracts.problems import MAX_ERRORS, InvalidDefinition, further
from headrace.common.contracts.wording import Refused, joined, shown
from headrace.common.text.plain import Place, TextError

MAX_FILE_BYTES = 128 * 1024
"""Twice what a service may hold of it: command, environment, pre-start actions and mounts are 64 KiB at most."""


def row(path: str, found: object, allowed: str) -> dict[str, Any]:
    """Return one error as callers get it."""
    return problems.row(path, str(shown(found)), allowed, place="path")


def refuse(
    file: str, rows: Sequence[dict[str, Any]], places: Mapping[str, Place] | Place | None = None
) -> InvalidDefinition:
    """Return the problem of a file with these errors, each with line and column where they are known.

    `places`: of the file's keys by path (an error of something that is missing is where it is missed), or of all errors.
    """
    named = [{**item, **_place(item["path"], places or {}), "path": item["path"] or "(file)"} for item in rows]
    return InvalidDefinition(f"{file}: {wording.summary(named, name='path', most=1)}", file=file, errors=named)


def refuse_text(file: str, error: TextError) -> InvalidDefinition:
    """Return the problem of a file that is no YAML or TOML."""
    return refuse(file, [row(error.path, error.found, error.allowed)], error.place)


def _place(path: str, places: Mapping[str, Place] | Place) -> dict[str, int]:
    if isinstance(places, tuple):
        return {"line": places[0], "column": places[1]}
    while path and path not in places:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    line, column = places.get(path, (None, None))
    return {} if line is None or column is None else {"line": line, "column": column}


def decode(content: bytes, file: str) -> str:
    """Decode the file. Raises InvalidDefinition when it is too large or not UTF-8 text."""
    if len(content) > MAX_FILE_BYTES:
        raise refuse(file, [row("", f"more than {MAX_FILE_BYTES} bytes", f"at most {MAX_FILE_BYTES} bytes")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(file, [row("", f"a byte at {error.start} that is not UTF-8", "UTF-8 text")]) from None
    if "\x00" in text:
        raise refuse(file, [row("", "a NUL character", "UTF-8 text")])
    return text


def rows_of(error: ValidationError, known: Mapping[str, Sequence[str]], tags: frozenset[str]) -> list[dict[str, Any]]:
    """Convert a pydantic error to error rows.

    `known`: the fields allowed below a key, by the last key of the path ('' at the top). `tags`: names that pydantic
    adds to a path although they are not in the file.
    """
    items = wording.errors_of(error)
    if len(items) <= MAX_ERRORS:
        return [_row(item, known, tags) for item in items]
    first = [_row(item, known, tags) for item in items[: MAX_ERRORS - 1]]
    return [*first, further(len(items) - len(first), place="path")]


def _row(item: Any, known: Mapping[str, Sequence[str]], tags: frozenset[str]) -> dict[str, Any]:
    tag = next((part for part in item["loc"] if part in tags), "")
    parts = [part for part in wording.parts(item["loc"]) if part not in tags]
    refused = (item.get("ctx") or {}).get("error")
    inside = [refused.below] if isinstance(refused, Refused) and refused.below else []
    kind, path = item["type"], joined([*parts, *inside])
    if kind == "extra_forbidden":
        named = [part for part in parts[:-1] if isinstance(part, str)]
        below = named[-1] if named else ""
        fields = known.get(f"{below}:{tag}") or known.get(below, ())
        return row(path, "a field of this name", _fields(str(parts[-1]), fields))
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        expected = item["ctx"].get("expected_tags", ", ".join(sorted(tags))).replace("'", "")
        found = item["ctx"].get("tag", "nothing")
        return row(f"{path}.action", found, f"one of {expected}")
    return row(path, wording.found(item), wording.allowed(item))


def _fields(name: str, fields: Sequence[str]) -> str:
    return (f"one of {', '.join(fields)}" if fields else "none") + wording.meant(name, fields)
