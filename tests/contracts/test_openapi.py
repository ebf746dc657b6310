"""The OpenAPI document holds what clients are generated from: names, examples, answers, and bounds of what is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import jsonschema_rs
import pytest

from headrace.manager.api.app import ENDPOINTS, document
from headrace.manager.api.examples import ANSWERS, PROBLEM, REQUESTS
from headrace.manager.api.openapi import ProblemDocument

JSON: Final = "application/json"


@cache
def whole() -> dict[str, Any]:
    """Return the document; made for the first test, and not where tests are only listed."""
    return document()


def operations() -> Mapping[str, Any]:
    """Return the operations, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in whole()["paths"].items()
        for method, operation in item.items()
    }


@pytest.mark.parametrize("model", list(REQUESTS), ids=lambda model: model.__name__)
def test_the_example_of_a_request_body_is_one(model: Any) -> None:
    model.model_validate(dict(REQUESTS[model]))


@pytest.mark.parametrize("model", [*ANSWERS, ProblemDocument], ids=lambda model: model.__name__)
def test_the_example_of_an_answer_is_what_would_be_answered(model: Any) -> None:
    example = dict(ANSWERS[model]) if model in ANSWERS else PROBLEM
    shown = model.model_validate(example).model_dump(mode="json")
    assert {name: shown[name] for name in example} == example or model is ProblemDocument


def test_every_request_body_has_an_example_that_its_schema_takes() -> None:
    for name, operation in operations().items():
        content = operation.get("requestBody", {}).get("content", {})
        if JSON in content and content[JSON]["schema"]:  # not what a service takes
            assert content[JSON]["example"], name
            _check(content[JSON]["schema"], content[JSON]["example"], name)
    assert set(REQUESTS) == {endpoint.body for endpoint in ENDPOINTS if endpoint.body is not None}


def test_every_operation_has_a_name_a_tag_and_a_sentence() -> None:
    for name, operation in operations().items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), name
        assert len(operation["tags"]) == 1, name
        assert re.search(r"[.:]$|`$", operation["summary"].strip()), f"{name}: {operation['summary']}"
        assert len(operation["summary"]) <= 200, f"{name}: a summary is a line; the rest is the description"
    ids = [operation["operationId"] for operation in operations().values()]
    assert len(ids) == len(set(ids))


def test_every_refusal_is_a_problem_document() -> None:
    for name, operation in operations().items():
        refusals = {status: told for status, told in operation["responses"].items() if status >= "400"}
        assert "400" in refusals, name
        assert operation.get("security") == [] or "401" in refusals, name
        for status, told in refusals.items():
            (kind,) = told["content"]
            assert kind == "application/problem+json", f"{name} {status}"
            assert told["description"], f"{name} {status}"


def test_whatever_is_sent_has_a_bound() -> None:
    unbounded = sorted(
        {
            place
            for name, operation in operations().items()
            for place in (
                *(
                    one
                    for found in _parameters(operation)
                    for one in _unbounded(found["schema"], f"{name} {found['name']}")
                ),
                *(
                    one
                    for kind, content in operation.get("requestBody", {}).get("content", {}).items()
                    if kind == JSON
                    for one in _unbounded(content["schema"], name)
                ),
            )
        }
    )
    assert unbounded == []


def _parameters(operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parameters of an operation, those too that several have."""
    shared = whole()["components"].get("parameters", {})
    return [shared[found["$ref"].rpartition("/")[2]] if "$ref" in found else found for found in operation["parameters"]]


def _unbounded(schema: Mapping[str, Any], place: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the places of strings, lists and mappings without a bound."""
    if "maxLength" in schema:  # also beside its alternatives
        return
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in above:
            yield from _unbounded(whole()["components"]["schemas"][name], name, (*above, name))
        return
    kind = schema.get("type")
    if kind == "string" and not (_bounds(schema) or _is_bounded(schema.get("pattern", ".*"))):
        yield f"{place}: a text without maxLength"
    if kind == "array" and "maxItems" not in schema:
        yield f"{place}: a list without maxItems"
    if kind == "object" and schema.get("additionalProperties") not in (False, None) and "maxProperties" not in schema:
        yield f"{place}: a mapping without maxProperties"
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(word, ()):
            yield from _unbounded(inner, place, above)
    for field, inner in schema.get("properties", {}).items():
        yield from _unbounded(inner, f"{place}.{field}", above)
    for word in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(word), dict):
            yield from _unbounded(schema[word], f"{place}[]", above)


def _bounds(schema: Mapping[str, Any]) -> bool:
    return bool({"maxLength", "enum", "const", "format"} & schema.keys())


def _is_bounded(pattern: str) -> bool:
    """Whether only texts up to some length match."""
    bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]", "x", pattern)
    return pattern.startswith("^") and pattern.endswith("$") and not re.search(r"[*+]|\{\d+,\}", bare)


def _check(schema: Mapping[str, Any], value: Any, what: str) -> None:
    closed = {**schema, "components": whole()["components"]}
    wrong = next(iter(jsonschema_rs.Draft202012Validator(closed, validate_formats=True).iter_errors(value)), None)
    assert wrong is None, f"{what}: {wrong and wrong.message}"
