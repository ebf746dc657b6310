"""Answers of the REST API to GET, of everything that an installation has, and their comparison with later ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.support.api import Api

_PLACE: Final = re.compile(r"\{(\w+)\}")
_LISTED: Final = {
    "agent": ("/v1/agents", "id"),
    "folder": ("/v1/folders", "id"),
    "project": ("/v1/projects", "name"),
    "service": ("/v1/services", "name"),
    "user": ("/v1/users", "name"),
}
"""Which list says what may stand at a place of a path."""
_LEFT_OUT: Final = {
    "/v1/openapi.json": "the document of a version",
    "/v1/version": "the version itself",
    "/v1/services/available": "asks about a name that nobody has",
    "/v1/folders/{folder}/files": "reads the disk",
}
"""Paths that show no rows, and what they show."""
_NOT_KEPT: Final = {
    "last_seen_at": "moves",
    "heard_s": "moves",
    "disk": "moves",
    "engine_disk": "moves",
    "outcome": "is on the bus only",
}
"""Fields that do not come from a table, or change with every report."""
_ON_DISK: Final = ("written_at", "expires_at")
"""Fields of an upload that tell of its file."""
_AGE: Final = re.compile(r"\d+ s ago")


async def answers(api: Api, others: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return by path what a manager answers, for every path of its document that shows rows.

    `others`: what may stand at places of which no list tells. Combinations that do not exist are left out.
    """
    document = await api.call("GET", "/v1/openapi.json")
    values = dict(others)
    for place, (path, name) in _LISTED.items():
        values[place] = [one[name] for one in (await api.call("GET", path))["items"]]
    found: dict[str, Any] = {}
    for template, methods in document["paths"].items():
        if template in _LEFT_OUT or not _shows_json(methods):
            continue
        of_template = {}
        for path in _filled(template, values):
            answer = await api.http.get(path)
            if answer.status_code != 404:
                assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
                of_template[path] = lasting(answer.json())
        assert of_template, f"nothing in the installation is shown by {template}"
        found |= of_template
    return found


def _filled(path: str, values: Mapping[str, Sequence[str]]) -> Iterator[str]:
    place = _PLACE.search(path)
    if place is None:
        yield path
        return
    for value in values[place[1]]:
        yield from _filled(path.replace(place[0], value), values)


def _shows_json(methods: Mapping[str, Any]) -> bool:
    return "application/json" in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})


def lasting(value: Any) -> Any:
    """Return what of an answer is the same whenever the same rows are asked for."""
    if isinstance(value, dict):
        left_out = (*_NOT_KEPT, *(_ON_DISK if _ON_DISK[0] in value else ()))
        return {key: lasting(inner) for key, inner in value.items() if key not in left_out}
    if isinstance(value, list):
        return [lasting(inner) for inner in value]
    return _AGE.sub("some time ago", value) if isinstance(value, str) else value


def lost(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Yield where a value of `before` is not in `after`; there may be more in that."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after[key], f"{at}.{key}") if key in after else [f"{at}.{key}: {value!r} is missing"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, value in enumerate(before):
            yield from lost(value, after[index], f"{at}[{index}]")
    elif before != after:
        yield f"{at}: {before!r} is {after!r}"
