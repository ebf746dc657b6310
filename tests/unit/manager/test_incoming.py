"""Request bodies: what the caller chose is refused with a reason, however it is built."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from pydantic import BaseModel

from headrace.common.contracts.http.folders import CreateFolder
from headrace.common.contracts.http.services import CreateService
from headrace.common.contracts.http.tokens import CreateToken
from headrace.common.contracts.problems import InvalidRequest
from headrace.manager.api.app import ENDPOINTS
from headrace.manager.api.incoming import MAX_BODY_BYTES, read_body
from tests.support.effort import some_of


def request(body: bytes) -> web.Request:
    """Return a request with this body; its connection is a plain object, since a mock of one takes 4 ms to make."""
    loop = asyncio.get_running_loop()
    payload = StreamReader(BaseProtocol(loop), 2**20, loop=loop)
    payload.feed_data(body)
    payload.feed_eof()
    connection = SimpleNamespace(ssl_context=None, peername=None, sockname=None)
    parts: dict[str, Any] = {"app": connection, "writer": connection, "protocol": connection, "transport": None}
    headers = {"Content-Type": "application/json"}
    return make_mocked_request("POST", "/v1/folders", headers, payload=payload, **parts)


@pytest.mark.parametrize("depth", [1, 300, 800, 100_000])
@pytest.mark.parametrize(("before", "after"), [(b"[", b"]"), (b'{"a":', b"}")])
async def test_a_body_nested_deeply_around_a_nul_is_refused(depth: int, before: bytes, after: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await read_body(request(before * depth + b'"\\u0000"' + after * depth), CreateFolder)


@pytest.mark.parametrize("body", [b'{"name": "a\\u0000"}', b'{"\\u0000": 1}', b'["\\u0000"]'])
async def test_a_nul_is_named(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="NUL"):
        await read_body(request(body), CreateFolder)


async def refused(body: object, model: type[BaseModel] = CreateService) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        await read_body(request(body if isinstance(body, bytes) else json.dumps(body).encode()), model)
    return caught.value


WRONG_LISTS: dict[str, Callable[[int], object]] = {
    "command": lambda many: {"name": "x", "command": [0] * many},
    "tags": lambda many: {"name": "x", "tags": ["A B"] * many},
    "extra_mounts": lambda many: {"name": "x", "extra_mounts": [{"a": 1}] * many},
    "unknown fields": lambda many: {f"f{i}": 1 for i in range(many)},
    "environ": lambda many: {"name": "x", "environ": {f"{i} a": 1 for i in range(many)}},
}


@pytest.mark.parametrize("kind", WRONG_LISTS)
async def test_a_refusal_has_at_most_twenty_errors_however_many_there_are(kind: str) -> None:
    problem = await refused(WRONG_LISTS[kind](400))
    errors = problem.document()["errors"]
    assert len(errors) <= 20
    assert len(errors) < 20 or "more errors" in errors[-1]["found"]
    assert len(json.dumps(problem.document())) < 20_000


@pytest.mark.parametrize("kind", WRONG_LISTS)
async def test_a_body_of_too_many_values_is_refused_before_it_is_read(kind: str) -> None:
    read: list[bytes] = []

    class Model(CreateService):
        @classmethod
        def model_validate_json(cls, json_data: Any, **_: Any) -> Any:
            read.append(json_data)

    body = json.dumps(WRONG_LISTS[kind](60_000)).encode()[: MAX_BODY_BYTES - 10]
    problem = await refused(body, Model)
    assert (problem.extra["errors"][0]["found"], read) == ("more than 10000 values", [])


async def test_commas_and_brackets_in_texts_are_no_values() -> None:
    text = '[{,"\\' * 13_000
    body = {"name": "x", "runtime": "cmd", "command": ["sh", text], "environ": {"A": text[:30_000]}}
    assert isinstance(await read_body(request(json.dumps(body).encode()), CreateService), CreateService)


@pytest.mark.parametrize("body", [b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40])
async def test_a_body_nested_too_deeply_says_how_deep(body: bytes) -> None:
    assert (await refused(body)).extra["errors"] == [
        {"field": "(body)", "found": "values nested deeper than 32", "allowed": "at most 32 levels"}
    ]


QUOTES = "text (in quotes, where it looks like something else)"
NAME = "1 to 63 lower-case letters, digits and hyphens, the first and the last no hyphen"
VARIABLE = "a variable's name: at most 255 letters, digits and _, not beginning with a digit"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"replicas": 1}, [("name", "nothing", "a value; it is required")]),
        ({"name": "A b"}, [("name", "A b", NAME)]),
        ({"name": "x", "replicsa": 1}, [("replicsa", 1, "no field of this name (did you mean replicas?)")]),
        ({"name": "x", "command": 5}, [("command", 5, f"a list, or {QUOTES}")]),
        ({"name": "x", "command": ["a", 5]}, [("command[1]", 5, QUOTES), ("command", "a list of 2", QUOTES)]),
        ({"name": "x", "slots": {"cpu": 0}}, [("slots.cpu", "0", "0.01 or more")]),
        (
            {"name": "x", "slots": {"mem": "8q"}},
            [("slots.mem", "8q", "a number of bytes, or a number with k, m, g, t (for example 8g)")],
        ),
        ({"name": ""}, [("name", "an empty text", NAME)]),
        ({"name": "x", "environ": {"A": {}}}, [("environ.A", "an empty mapping", "text, a number, true or false")]),
        ({"name": "x", "environ": {"a b": "1"}}, [("environ.a b", "a b", VARIABLE)]),
        ([], [("(body)", "an empty list", "a mapping")]),
        (b"", [("(body)", "an empty text", "JSON (EOF while parsing a value at line 1 column 0)")]),
    ],
)
async def test_refusals_are_said_in_words(body: object, errors: list[tuple[str, object, str]]) -> None:
    found = (await refused(body)).extra["errors"]
    assert [(error["field"], error["found"], error["allowed"]) for error in found] == errors


async def test_numbers_and_booleans_of_variables_become_text() -> None:
    body = {"name": "x", "environ": {"WORKERS": 4, "DEBUG": True, "RATE": 1.5, "NAME": "n"}}
    read = await read_body(request(json.dumps(body).encode()), CreateService)
    assert isinstance(read, CreateService)
    assert read.environ == {"WORKERS": "4", "DEBUG": "true", "RATE": "1.5", "NAME": "n"}


BODIES = sorted(
    {endpoint.body for endpoint in ENDPOINTS if endpoint.body is not None}, key=lambda model: model.__name__
)
SAMPLES: dict[str, tuple[Any, ...]] = {
    "string": ("yes", "true", "3", "1.5", ""),
    "boolean": (True, False),
    "integer": (1, 0),
    "number": (1.5,),
    "null": (None,),
    "array": ([], [1]),
    "object": ({}, {"a": 1}),
}
"""Values of each type of JSON."""


def schemas(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The branches of a schema, without references."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    branches = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if branches is None:
        yield schema
    for branch in branches or ():
        yield from schemas(branch, root)


def kinds(schema: dict[str, Any]) -> set[str]:
    """The types of JSON that a branch allows."""
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return {name for name, some in SAMPLES.items() if any(type(value) is type(some[0]) for value in values)}
    return {"integer", "number"} if schema["type"] == "number" else {schema["type"]}


def places(
    schema: dict[str, Any], root: dict[str, Any], path: tuple[object, ...] = ()
) -> Iterator[tuple[tuple[object, ...], set[str]]]:
    """Every place in a body, and the types of JSON that it may have."""
    branches = list(schemas(schema, root))
    if path:
        yield path, {kind for branch in branches for kind in kinds(branch)}
    for branch in branches:
        for name, below in branch.get("properties", {}).items():
            yield from places(below, root, (*path, name))
        if isinstance(below := branch.get("additionalProperties"), dict):
            yield from places(below, root, (*path, "a"))
        if "items" in branch:
            yield from places(branch["items"], root, (*path, 0))


def body_with(path: tuple[object, ...], value: object) -> Any:
    for part in reversed(path):
        value = [value] if part == 0 else {part: value}
    return value


def shown_path(path: tuple[object, ...]) -> str:
    return "".join(f"[{part}]" if part == 0 else f".{part}" for part in path).removeprefix(".")


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
async def test_no_field_takes_a_value_of_another_type(model: type[BaseModel]) -> None:
    schema, tried = model.model_json_schema(), 0
    for path, allowed in places(schema, schema):
        for kind in set(SAMPLES) - allowed:
            for value in some_of(SAMPLES[kind]):
                problem = await refused(body_with(path, value), model)
                where = shown_path(path)
                found = [error for error in problem.document()["errors"] if error["field"] == where]
                assert found, f"{where} took {value!r}"
                assert found[0]["allowed"], where
                tried += 1
    assert tried


@pytest.mark.parametrize("time", ["2030-12-31T00:00:00Z", "2030-12-31 02:00:00.0+02:00"])
async def test_a_time_that_is_written_out_is_taken(time: str) -> None:
    body = await read_body(request(json.dumps({"expires_at": time}).encode()), CreateToken)
    assert isinstance(body, CreateToken)
    assert body.expires_at == datetime(2030, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "time", ["2030-12-31T00:00:00", "2030-12-31", "1893456000", "1893456000.5", "-1", "2030", "yes", 1893456000]
)
async def test_a_time_is_written_out(time: object) -> None:
    (error,) = (await refused({"expires_at": time}, CreateToken)).document()["errors"]
    assert error["field"] == "expires_at"
    assert "a time with its zone" in error["allowed"]
