"""Validation errors in words: rows of what was found and what is allowed, at most twenty, each of a bounded length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from headrace.common.contracts.problems import MAX_ERRORS, InvalidRequest, further, row

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LONGEST_FOUND: Final = 200
LONGEST_PATH: Final = 300
_SHOWN_KEYS: Final = 5
_LONGEST_KEY: Final = 40

PATTERNS: Final[dict[str, str]] = {}
"""Pattern → its meaning for people; filled by `pattern()` where patterns are declared."""


class Refused(ValueError):  # noqa: N818 - what a validator raises, not a failure of the program
    """Value that a validator refuses. `below`: path inside the value, for example the name of a slot."""

    def __init__(self, found: object, allowed: str, *, below: str = "") -> None:
        self.found = shown(found)
        self.allowed = allowed
        self.below = below
        where = f"{below}: " if below else ""
        super().__init__(f"{where}found {self.found}; allowed: {allowed}")


def pattern(regex: str, words: str) -> str:
    """Return a regex constraint, and register the words that explain it."""
    PATTERNS[regex] = words
    return regex


def shown(value: object) -> bool | float | str:
    """Return `value` shortened for an error; a mapping or list as its size. The work does not grow with the value."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return value if value.bit_length() <= LONGEST_FOUND else f"a number of {value.bit_length()} bits"
    if isinstance(value, str | bytes):
        text = value if isinstance(value, str) else value[:LONGEST_FOUND].decode(errors="replace")
        return cut(text, LONGEST_FOUND) if text else "an empty text"
    if isinstance(value, Mapping):
        names = ", ".join(cut(str(name), _LONGEST_KEY) for name in islice(value, _SHOWN_KEYS))
        return f"a mapping with {names}{', …' if len(value) > _SHOWN_KEYS else ''}" if value else "an empty mapping"
    if isinstance(value, Sequence):
        return f"a list of {len(value)}" if value else "an empty list"
    return cut(str(value), LONGEST_FOUND)


def cut(text: str, longest: int) -> str:
    """Return `text`, cut to a maximum length."""
    return text if len(text) <= longest else text[:longest] + "…"


def found(item: Mapping[str, Any]) -> bool | float | str:
    """Return the value that a pydantic error is about, in words."""
    kind, context = item["type"], item.get("ctx") or {}
    if kind == "missing":
        return "nothing"
    if isinstance(refused := context.get("error"), Refused):
        return refused.found
    if kind == "string_too_long":
        return f"{len(item['input'])} characters"
    if kind in {"too_long", "too_short"} and isinstance(item.get("input"), Mapping | list | tuple):
        count = len(item["input"])
        return f"{count} item{'' if count == 1 else 's'}" if count else shown(item["input"])
    return shown(item.get("input"))


_PLAIN: Final = {
    "missing": "a value; it is required",
    "extra_forbidden": "no field of this name",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text (in quotes, where it looks like something else)",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "uuid_parsing": "an id, as answers show it",
    "uuid_type": "an id, as answers show it",
    "timezone_aware": "a time with its zone, for example 2030-12-31T00:00:00Z",
    "datetime_type": "a time with its zone, for example 2030-12-31T00:00:00Z",
    "datetime_parsing": "a time with its zone, for example 2030-12-31T00:00:00Z",
    "datetime_from_date_parsing": "a time with its zone, for example 2030-12-31T00:00:00Z",
    "datetime_object_invalid": "a time with its zone, for example 2030-12-31T00:00:00Z",
    "time_delta_type": "a duration: seconds, or for example PT30S or P1D",
    "time_delta_parsing": "a duration: seconds, or for example PT30S or P1D",
    "ip_v4_network": "an IPv4 network, for example 10.0.0.0/8",
    "ip_v6_network": "an IPv6 network, for example fd00::/8",
}


_NUMBERED: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "string_pattern_mismatch": lambda ctx: PATTERNS.get(str(ctx["pattern"]), f"text matching {ctx['pattern']}"),
    "greater_than": lambda ctx: f"more than {_number(ctx['gt'])}",
    "greater_than_equal": lambda ctx: f"{_number(ctx['ge'])} or more",
    "less_than": lambda ctx: f"less than {_number(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"at most {_number(ctx['le'])}",
    "string_too_long": lambda ctx: f"at most {ctx['max_length']} characters",
    "string_too_short": lambda ctx: (
        "a text that is not empty" if ctx["min_length"] == 1 else f"at least {ctx['min_length']} characters"
    ),
    "too_long": lambda ctx: f"at most {ctx['max_length']} items",
    "too_short": lambda ctx: f"at least {ctx['min_length']} item{'' if ctx['min_length'] == 1 else 's'}",
    "literal_error": lambda ctx: str(ctx["expected"]).replace("'", ""),
    "enum": lambda ctx: str(ctx["expected"]).replace("'", ""),
    "json_invalid": lambda ctx: f"JSON ({ctx['error']})",
}


def allowed(item: Mapping[str, Any]) -> str:
    """Return the allowed values, in words."""
    kind, context = item["type"], item.get("ctx") or {}
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _NUMBERED:
        return _NUMBERED[kind](context)
    if isinstance(refused := context.get("error"), Refused):
        return refused.allowed
    _, marked, after = str(item["msg"]).partition("; allowed: ")
    text = after if marked else str(item["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return cut(text, LONGEST_FOUND)


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def parts(location: Iterable[int | str]) -> list[int | str]:
    """Return an error's path, without the parts that pydantic adds for union branches and keys."""
    return [part for index, part in enumerate(location) if index == 0 or not _is_branch(part)]


def _is_branch(part: int | str) -> bool:
    return isinstance(part, str) and (
        part in {"[key]", "str", "int", "float"}
        or part.startswith(("constrained-", "function-", "tuple[", "literal[", "lax-or-strict["))
    )


def joined(places: Sequence[object]) -> str:
    """Return a path as text: `models[0].service.port`."""
    text = ""
    for place in places:
        if isinstance(place, int) or place == "":
            text += f"[{place}]" if place != "" else '[""]'
        else:
            text += f".{place}" if text else str(place)
        if len(text) > LONGEST_PATH:
            return cut(text, LONGEST_PATH)
    return text


def rows(
    error: ValidationError, *, name: str = "field", whole: str = "(body)", known: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return {field, found, allowed} for each error, one row per path; at most twenty, the last then has the number of
    the rest.

    `known`: the top-level fields, to suggest one for a mistyped name.
    """
    made: dict[str, dict[str, Any]] = {}
    items = errors_of(error)
    for index, item in enumerate(items):
        context = item.get("ctx") or {}
        below = context["error"].below if isinstance(context.get("error"), Refused) else ""
        where = joined([*parts(item["loc"]), *([below] if below else [])]) or whole
        if where in made:  # another branch of the same value's type
            _add_choice(made[where], allowed(item))
            continue
        if len(made) == MAX_ERRORS - 1 and index < len(items) - 1:
            made["…"] = further(len(items) - index, place=name)
            break
        made[where] = row(where, found(item), allowed(item), place=name)
        if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
            made[where]["allowed"] += meant(str(item["loc"][0]), known)
    return list(made.values())


def errors_of(error: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's errors, without lists reported as too short only because pydantic does not count invalid items."""
    return [item for item in error.errors(include_url=False) if not _is_long_enough(item)]


def _is_long_enough(item: Mapping[str, Any]) -> bool:
    given = item.get("input")
    return item["type"] == "too_short" and isinstance(given, Sized) and len(given) >= item["ctx"]["min_length"]


def refusal(errors: Sequence[dict[str, Any]]) -> InvalidRequest:
    """Return the InvalidRequest with these rows."""
    return InvalidRequest(summary(errors), errors=errors)


def meant(name: str, known: Sequence[str]) -> str:
    """Return the suggestion for a mistyped name, or an empty text."""
    near = get_close_matches(cut(name, _LONGEST_KEY), known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _add_choice(error: dict[str, Any], choice: str) -> None:
    if choice not in str(error["allowed"]).split(", or "):
        error["allowed"] = f"{error['allowed']}, or {choice}"


def summary(found_rows: Sequence[Mapping[str, Any]], *, name: str = "field", most: int = 3) -> str:
    """Return the first rows as one line."""
    lines = [f"{one[name]}: found {one['found']}; allowed: {one['allowed']}" for one in found_rows[:most]]
    more = len(found_rows) - most
    return "; ".join(lines) + (f" (and {more} more)" if more > 0 else "")
