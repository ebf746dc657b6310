from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from headrace.common.contracts.ids import SLUG, Slug, new_uuid


def test_a_new_id_is_a_version_7_uuid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    value = new_uuid()
    after = time.time_ns() // 1_000_000
    assert value.version == 7
    assert value.variant == "specified in RFC 4122"
    assert before <= value.int >> 80 <= after


def test_ids_of_one_moment_differ() -> None:
    assert len({new_uuid() for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("name", ["a", "a1", "my-service", "x" * 63])
def test_slugs(name: str) -> None:
    assert TypeAdapter(Slug).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "x" * 64, "a\n", "é"])
def test_what_is_no_slug(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Slug).validate_python(name)


@given(st.from_regex(SLUG, fullmatch=True))
def test_a_slug_is_one_token_of_a_subject_a_path_and_a_host(name: str) -> None:
    assert not re.search(r"[.*>\s/:?#%]", name.rstrip("\n"))
