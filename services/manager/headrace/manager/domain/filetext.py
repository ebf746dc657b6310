"""What all definition files share: bounds, encoding, and errors that name path, found and allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from headrace.common.contracts.problems import InvalidDefinition

MAX_FILE_BYTES = 256 * 1024
_LONGEST_FOUND = 200


def row(path: str, found: object, allowed: str) -> dict[str, str]:
    """Return one error as callers see it."""
    return {"path": path, "found": shown(found), "allowed": allowed}


def refuse(file: str, rows: Sequence[dict[str, str]]) -> InvalidDefinition:
    """Return the problem for a file with these errors."""
    first = rows[0]
    more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
    where = f"{file}: {first['path']}" if first["path"] else file
    return InvalidDefinition(
        f"{where}: found {first['found']}; allowed: {first['allowed']}{more}", file=file, errors=rows
    )


def decode(content: bytes, file: str) -> str:
    """Return the file's text. Raises InvalidDefinition when it is too large or not UTF-8 text."""
    if len(content) > MAX_FILE_BYTES:
        raise refuse(file, [row("", f"more than {MAX_FILE_BYTES} bytes", f"at most {MAX_FILE_BYTES} bytes")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(file, [row("", f"a byte at {error.start} that is not UTF-8", "UTF-8 text")]) from None
    if "\x00" in text:
        raise refuse(file, [row("", "a NUL character", "UTF-8 text")])
    return text


def is_text(value: str) -> bool:
    """Return whether `value` can be stored and given to a program: escapes in a file can make NULs and halves of characters."""
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def shown(value: object) -> str:
    """Return `value` for an error: short, and a mapping or list by its size."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(str, list(value)[:5])) or 'no keys'}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = value if isinstance(value, str) else repr(value)
    return (text if len(text) <= _LONGEST_FOUND else text[:_LONGEST_FOUND] + "…") or "an empty text"


def rows_of(error: ValidationError, known: Mapping[str, Sequence[str]], tags: frozenset[str]) -> list[dict[str, str]]:
    """Return the rows of a pydantic error.

    `known`: the fields allowed below a key, by the last key of the path ('' at the top). `tags`: names that pydantic puts
    into a path although they do not stand in the file.
    """
    return [_row(item, known, tags) for item in error.errors(include_url=False)]


def _row(item: Any, known: Mapping[str, Sequence[str]], tags: frozenset[str]) -> dict[str, str]:
    tag = next((part for part in item["loc"] if part in tags), "")
    parts = [part for part in item["loc"] if part not in tags]
    kind, path = item["type"], joined(parts)
    if kind == "missing":
        return row(path, "nothing", "it is required")
    if kind == "extra_forbidden":
        named = [part for part in parts[:-1] if isinstance(part, str)]
        below = named[-1] if named else ""
        fields = known.get(f"{below}:{tag}") or known.get(below, ())
        return row(path, "a field of this name", _fields(str(parts[-1]), fields))
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        expected = item["ctx"].get("expected_tags", ", ".join(sorted(tags))).replace("'", "")
        found = item["ctx"].get("tag", "nothing")
        return row(f"{path}.action", found, f"one of {expected}")
    return row(path, item.get("input"), _allowed(item))


def _fields(name: str, fields: Sequence[str]) -> str:
    near = get_close_matches(name, fields, n=1)
    return f"one of {', '.join(fields)}" + (f" (did you mean {near[0]}?)" if near else "")


_PLAIN = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text (in quotes, where it looks like something else)",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def _allowed(item: Any) -> str:
    if plain := _PLAIN.get(item["type"]):
        return plain
    if item["type"] == "string_pattern_mismatch":
        return f"text matching {(item.get('ctx') or {}).get('pattern')}"
    return str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def joined(parts: Sequence[object]) -> str:
    """Return `models[0].service.port` for its parts."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
