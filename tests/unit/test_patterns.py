"""Every regular expression of every package: twice the input is at most twice the work, whatever the input is."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import headrace
from tests.support.matching import Matcher, TooManyStepsError, hard_inputs

_TIMES = 24
_SLACK = 60
"""Steps that a match costs before its input counts."""
_SEARCHES = ("search", "finditer", "findall", "sub", "split", "subn")


def _sources() -> Iterator[tuple[str, str]]:
    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        spec = module.module_finder.find_spec(module.name, None)
        if spec is not None and spec.origin and spec.origin.endswith(".py"):
            yield module.name, Path(spec.origin).read_text(encoding="utf-8")


@cache
def patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Return each compiled pattern by its place, and whether anybody searches with it."""
    found: dict[str, tuple[re.Pattern[Any], bool]] = {}
    sources = dict(_sources())
    for name, source in sources.items():
        if "re.compile(" not in source:
            continue
        for known, value in vars(importlib.import_module(name)).items():
            method = getattr(value, "__name__", "")
            pattern = value if isinstance(value, re.Pattern) else getattr(value, "__self__", None)
            if isinstance(pattern, re.Pattern):
                used = re.compile(rf"\b{known}\.({'|'.join(_SEARCHES)})\b")
                found[f"{name}.{known}"] = pattern, method in _SEARCHES or bool(used.search(source))
    return found


def worst(pattern: re.Pattern[Any], *, search: bool) -> tuple[float, list[int]]:
    """Return by how much more than twice the work grows with twice the input, at the worst, and for which input."""
    matcher = Matcher(pattern)
    found: tuple[float, list[int]] = (0.0, [])
    for once, twice in zip(hard_inputs(pattern, _TIMES), hard_inputs(pattern, 2 * _TIMES), strict=True):
        try:
            few = matcher.steps(once, search=search)
            many = matcher.steps(twice, search=search)
        except TooManyStepsError:
            return float("inf"), once
        found = max(found, ((many - _SLACK) / (few + 1), once))
    return found


def test_the_count_sees_patterns_that_are_more_than_linear() -> None:
    for bad in (rb"[ \t]*((?:[!-~](?:[ -~]*[!-~])?)?)[ \t]*$", rb"(a+)+$", rb"(a|a)*$", rb"a*a*$", rb"(\w+\s*)*$"):
        assert worst(re.compile(bad), search=False)[0] > 2.5, bad
    assert worst(re.compile(rb"[ \t]+$"), search=True)[0] > 2.5
    for good in (rb"[a-z]+=[^;]*;", rb"(-[a-z0-9]+)*$", rb"(?>[ \t]*)x", rb"[ \t]*+[ -~]*+$"):
        assert worst(re.compile(good), search=False)[0] <= 2.2, good


@pytest.mark.parametrize("place", sorted(patterns()))
def test_no_pattern_does_more_than_twice_the_work_on_twice_the_input(place: str) -> None:
    pattern, search = patterns()[place]
    growth, given = worst(pattern, search=search)
    assert growth <= 2.2, f"{pattern.pattern!r} on {bytes(given)!r}"


def test_patterns_are_compiled_where_this_test_finds_them() -> None:
    """A pattern in the middle of a function would be seen by nobody. Allowed are those whose text is fixed and that match one char
    at a time, or that are made of escaped text."""
    inline = re.compile(r"\bre\.(?:match|search|fullmatch|sub|split|findall|finditer)\(")
    allowed = {"headrace.embedded.nats", "headrace.agent.domain.rewriting", "headrace.manager.api.openapi"}
    assert {name for name, source in _sources() if inline.search(source)} <= allowed


def test_models_leave_their_patterns_to_an_engine_that_is_linear() -> None:
    assert not [name for name, source in _sources() if "regex_engine" in source]
