"""What a caller sends costs work in proportion to its size, counted in lines of Python that run, not in seconds."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.common.contracts.http.projects import CreateProject
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.http.validations import StartValidation
from headrace.common.contracts.problems import InvalidDefinition, InvalidRequest
from headrace.common.contracts.rule import RuleSpec
from headrace.common.text.plain import TextError
from headrace.common.text.tomltext import load_toml
from headrace.common.text.yamltext import load_yaml
from headrace.manager.api.incoming import read_body
from headrace.manager.domain.definitions.model_definition import parse_definition
from headrace.manager.domain.definitions.service_definition import parse_service_definition
from headrace.manager.domain.jsontext import too_much
from tests.support.effort import examples
from tests.unit.manager.test_incoming import request


def lines_run(function: Callable[..., object], *given: object) -> int:
    """Return how many lines ran in `function`, whatever it answers."""
    count = 0

    def seen(_: FrameType, event: str, __: Any) -> Any:
        nonlocal count
        count += event == "line"
        return seen

    before = sys.gettrace()
    sys.settrace(seen)
    try:
        with suppress(TextError, InvalidDefinition, InvalidRequest):
            function(*given)
    finally:
        sys.settrace(before)
    return count


YAML = {
    "nested lists": "[[a: b],",
    "open lists": "[",
    "open mappings": "{a: ",
    "keys without values": "?\n",
    "dashes": "- ",
    "items": "-\n",
    "lines": "a: b\n",
    "words": "b ",
    "comments": "# c\n",
    "quotes": "'",
    "escapes": '"\\n',
    "folds": " b\n\n",
    "anchors": "&a ",
    "flow": "[a, b], ",
}
TOML = {
    "dots": "a.",
    "lists": "[",
    "tables": "[[a]]\n",
    "strings": '"',
    "three quotes": '"""',
    "escapes": '\\"',
    "keys": "a=1\n",
    "inline": "{a=",
    "dotted keys": "[a.b.c]\n",
    "apostrophes": "'",
    "comments": "#\n",
}
JSON = {"lists": "[", "mappings": '{"a":', "texts": '"', "escapes": '"\\', "items": "[0],", "commas": ","}


@pytest.mark.parametrize("lead", ["", "a: ", "["])
@pytest.mark.parametrize("kind", YAML)
def test_twice_the_yaml_is_at_most_twice_the_work(kind: str, lead: str) -> None:
    once, twice = (lines_run(load_yaml, lead + YAML[kind] * n) for n in (150, 300))
    assert twice <= 2.1 * once + 300


@pytest.mark.parametrize("lead", ["", "a=", "a=["])
@pytest.mark.parametrize("kind", TOML)
def test_twice_the_toml_is_at_most_twice_the_work(kind: str, lead: str) -> None:
    once, twice = (lines_run(load_toml, lead + TOML[kind] * n) for n in (150, 300))
    assert twice <= 2.1 * once + 300


@pytest.mark.parametrize("kind", JSON)
def test_twice_the_json_is_at_most_twice_the_work(kind: str) -> None:
    once, twice = (lines_run(too_much, JSON[kind].encode() * n) for n in (4_000, 8_000))
    assert twice <= 2.1 * once + 100


pieces = st.lists(
    st.sampled_from(
        [
            *YAML.values(),
            *TOML.values(),
            "models:\n",
            "- name: m\n",
            "  service: {",
            "[vllm.environ]\n",
            "]",
            "}",
            "\n",
            "é",
            "\0",
        ]
    ),
    max_size=60,
).map("".join)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(pieces, st.integers(1, 20))
def test_any_definition_file_is_read_or_refused_with_bounded_work(text: str, times: int) -> None:
    content = (text * times).encode()
    for parse in (parse_definition, parse_service_definition):
        assert lines_run(parse, content, "file") <= 100_000 + 400 * len(content)
        try:
            parse(content, "file")
        except InvalidDefinition as problem:
            errors = problem.extra["errors"]
            assert 1 <= len(errors) <= 20
            assert all(error["path"] and error["found"] and error["allowed"] for error in errors)


names = st.sampled_from([*CreateService.model_fields, *RuleSpec.model_fields, "x", "y" * 500])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("z" * 5000),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(names | st.text(max_size=5), inner, max_size=10),
    max_leaves=60,
)


@settings(max_examples=examples(80), derandomize=True, deadline=None)
@given(st.dictionaries(names, values, max_size=12) | values)
def test_any_body_is_read_or_refused_with_at_most_twenty_short_errors(body: object) -> None:
    raw = json.dumps(body).encode()
    for model in (CreateService, UpdateService, StartValidation, RuleSpec, CreateProject):

        async def refusal(model: Any = model) -> dict[str, Any] | None:
            try:
                await read_body(request(raw), model)
            except InvalidRequest as problem:
                return problem.document()
            return None

        if (document := asyncio.run(refusal())) is not None:
            assert 1 <= len(document["errors"]) <= 20
            assert len(json.dumps(document)) < 20_000
            assert all(error["field"] and error["allowed"] for error in document["errors"])
