"""Answers of the REST API against its OpenAPI document: what a caller gets that the document does not tell fails the test."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

import httpx
import jsonschema_rs

from headrace.manager.api.app import ENDPOINTS, document
from headrace.manager.api.routing import Endpoint

_JSON: Final = ("application/json", "application/problem+json")
_RELAYED: Final = "X-Headrace-Call-Id"
"""Header of answers that are a service's own."""
_ANYWHERE: Final = frozenset({404, 405})
"""Statuses of paths and methods that are none of the document's."""
_PROBLEM: Final = {"$ref": "#/components/schemas/ProblemDocument"}
_LONG: Final = frozenset({"path"})
"""Variables that have slashes in them."""


async def check(answer: httpx.Response) -> None:
    """Raise AssertionError for an answer that the document does not tell: its status, media type, or a body that the schema refuses."""
    if _RELAYED in answer.headers:
        return
    asked = answer.request
    path = asked.url.raw_path.decode().partition("?")[0]  # a slash of a reference is encoded
    what = f"{asked.method} {path}: {answer.status_code}"
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    endpoint = operation(asked.method, path)
    if endpoint is None:
        if not path.startswith("/v1/"):
            return
        assert answer.status_code in _ANYWHERE, f"{what} of a path that the document has not"
        schema: Any = _PROBLEM
    else:
        told = document()["paths"][endpoint.shown_path][asked.method.lower()]["responses"]
        assert str(answer.status_code) in told, f"{what} is not in the document, which has {', '.join(told)}"
        content = told[str(answer.status_code)].get("content", {})
        assert kind in content or (kind in {"", "application/octet-stream"} and not content), (
            f"{what}: found {kind}; the document has {', '.join(content) or 'no content'}"
        )
        schema = content.get(kind, {}).get("schema", {})
    if kind in _JSON and asked.method != "HEAD":
        body = json.loads(await answer.aread())
        wrong = next(iter(_validator(json.dumps(schema, sort_keys=True)).iter_errors(body)), None)
        assert wrong is None, f"{what}: {wrong and wrong.message} at {wrong and list(wrong.instance_path)}"


def operation(method: str, path: str) -> Endpoint | None:
    """Return the declaration that answers a request; None: there is none."""
    return next((found for regex, found in _routes(method) if regex.fullmatch(path)), None)


@cache
def _routes(method: str) -> tuple[tuple[re.Pattern[str], Endpoint], ...]:
    return tuple((_regex(found), found) for found in ENDPOINTS if found.method == method)


def _regex(endpoint: Endpoint) -> re.Pattern[str]:
    parts = re.split(r"\{([a-z_]+)\}", endpoint.shown_path)
    return re.compile(
        "".join(
            (".*" if part in _LONG else "[^/]+") if number % 2 else re.escape(part) for number, part in enumerate(parts)
        )
    )


@cache
def _validator(schema: str) -> Any:
    whole: dict[str, Any] = {**json.loads(schema), "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
