"""JSON pointers to the wrong fields of a body: each finds what its error is about."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.problems import InvalidRequest, row
from headrace.common.contracts.wording import joined
from headrace.manager.api.pointers import point


class Anything(BaseModel):
    """A body with one field."""

    top: Any


def pointers(*fields: str, body: object, model: type[BaseModel] = CreateService) -> list[str | None]:
    problem = InvalidRequest("it is wrong", errors=[row(field, "this", "that") for field in fields])
    point(problem, json.dumps(body).encode(), model)
    return [error.get("pointer") for error in problem.extra["errors"]]


def resolved(document: Any, pointer: str) -> Any:
    """Resolve a pointer as RFC 6901 says."""
    for part in unquote(pointer.removeprefix("#")).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@pytest.mark.parametrize(
    ("field", "body", "pointer"),
    [
        ("name", {}, "#/name"),
        ("(body)", {}, "#"),
        ("replica", {"replica": 1}, "#/replica"),
        ("slots.cuda.shares", {"slots": {"cuda.shares": 0}}, "#/slots/cuda.shares"),
        ("environ.a/b~c", {"environ": {"a/b~c": 1}}, "#/environ/a~1b~0c"),
        ("extra_mounts[1].folder", {"extra_mounts": [{}, {}]}, "#/extra_mounts/1/folder"),
        ("rollout.steps[0].replicas", {"rollout": {}}, "#/rollout/steps/0/replicas"),
        ("Idempotency-Key", {}, None),
        ("cursor", {}, None),
        ("…", {}, None),
    ],
)
def test_a_field_of_the_body_has_a_pointer_and_nothing_else_has(field: str, body: object, pointer: str | None) -> None:
    assert pointers(field, body=body) == [pointer]


def test_fields_of_a_spec_are_in_the_spec_of_the_body() -> None:
    assert pointers("image", "replicas", body={}, model=UpdateService) == ["#/spec/image", "#/replicas"]


KEYS = st.text("ab./~ é", max_size=4)
DOCUMENTS = st.recursive(
    st.integers(),
    lambda below: st.lists(below, min_size=1, max_size=3) | st.dictionaries(KEYS, below, min_size=1, max_size=3),
)


@given(document=DOCUMENTS, data=st.data())
def test_the_pointer_of_a_name_finds_what_the_name_is_of(document: Any, data: st.DataObject) -> None:
    """Where a name can be read in one way: not of `a` with a key `b` beside `a.b`."""
    place, value = ["top"], document
    while isinstance(value, dict | list) and data.draw(st.booleans()):
        if isinstance(value, dict):
            assume(not any(f"{other}.".startswith(f"{key}.") for key, other in permutations(value, 2)))
        key = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else list(range(len(value)))))
        place, value = [*place, key], value[key]
    (pointer,) = pointers(joined(place), body={"top": document}, model=Anything)
    assert pointer is not None
    assert resolved({"top": document}, pointer) == value
