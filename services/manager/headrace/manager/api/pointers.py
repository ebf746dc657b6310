"""JSON pointers (RFC 6901) to the wrong fields of a request's body, beside their names for people in a refusal's `errors`.

Names are read in the body itself: only that tells `cuda.shares`, one key, from `service.port`, two.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel

from headrace.common.contracts.problems import Problem
from headrace.common.contracts.revision import RevisionSpec

_WHOLE: Final = "(body)"
_EMPTY: Final = '[""]'
"""A key without characters, as `wording.joined` writes it."""
_INDEX: Final = re.compile(r"\[(\d+)\]")
_FIRST: Final = re.compile(r"[^.\[]+")


def point(problem: Problem, body: bytes | None, model: type[BaseModel] | None) -> None:
    """Add `pointer` to the errors that are fields of the body; those of the query and of headers have none.

    It is a URI fragment, as RFC 9457 has them: `#/slots/cuda.shares`.
    """
    if body is None or model is None:
        return
    parsed: Any = None
    for error in problem.extra.get("errors", ()):
        name = str(error.get("field", ""))
        if name == _WHOLE:
            error["pointer"] = "#"
            continue
        if parsed is None:
            parsed = _parsed(body)
        inside = _inside(name, model, parsed)
        if inside is not None:
            error["pointer"] = "#" + "".join(f"/{_escaped(part)}" for part in _parts(inside, parsed))


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return {}


def _inside(name: str, model: type[BaseModel], body: Any) -> str | None:
    """Return the name as of a field of this body; None: it is none. Fields of a spec are named without the `spec` that has them."""
    first = _FIRST.match(name)
    if first is None or name.endswith("…"):
        return None
    if first[0] in model.model_fields:
        return name
    if "spec" in model.model_fields and first[0] in RevisionSpec.model_fields:
        return f"spec.{name}"
    return name if isinstance(body, dict) and name in body else None


def _parts(name: str, value: Any) -> list[str]:
    """Return keys and indices of a name, of which as many characters as possible are one key that is there."""
    parts: list[str] = []
    rest = name
    while rest:
        if not isinstance(value, dict) and (index := _INDEX.match(rest)):
            part, end = index[1], index.end()
            value = value[int(part)] if isinstance(value, list) and int(part) < len(value) else None
        elif rest.startswith(_EMPTY) and not (isinstance(value, dict) and _EMPTY in value):
            part, end = "", len(_EMPTY)
            value = value.get(part) if isinstance(value, dict) else None
        else:
            ends = sorted({len(rest), *(at for at, sign in enumerate(rest) if sign in ".[" and at)}, reverse=True)
            known = (at for at in ends if isinstance(value, dict) and rest[:at] in value)
            end = next(known, ends[-1])
            part = rest[:end]
            value = value.get(part) if isinstance(value, dict) else None
        parts.append(part)
        rest = rest[end:].removeprefix(".")
    return parts


def _escaped(part: str) -> str:
    return quote(part.replace("~", "~0").replace("/", "~1"), safe="~!$&'()*+,;=:@-._")
