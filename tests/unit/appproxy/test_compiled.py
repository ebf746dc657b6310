"""What compiled modules have to keep to, beside what the compiler says (docs/adr/0012)."""

from __future__ import annotations

import ast
from pathlib import Path

import hatch_build
import pytest


def test_the_way_of_requests_is_compiled() -> None:
    folder = hatch_build.SOURCES / "headrace" / "appproxy" / hatch_build.FOLDER
    names = {file.relative_to(folder).as_posix() for file in hatch_build.modules()}
    assert {
        "request/exchange.py",
        "http1/requests.py",
        "upstream/connection.py",
        "ratelimit/policy.py",
        "balancing/backend.py",
    } <= names
    assert not names & {f"{name}.py" for name in hatch_build.INTERPRETED}


@pytest.mark.parametrize("name", sorted(hatch_build.INTERPRETED))
def test_what_is_left_out_exists(name: str) -> None:
    assert (hatch_build.SOURCES / "headrace" / "appproxy" / hatch_build.FOLDER / f"{name}.py").is_file()


def test_a_way_to_compile_that_does_not_exist_is_refused_with_those_that_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_COMPILE", "yes")
    hook = hatch_build.BuildHook(str(tmp_path), {}, None, None, str(tmp_path), "wheel")  # type: ignore[arg-type]
    with pytest.raises(SystemExit, match=r"HEADRACE_COMPILE is 'yes' \(allowed: 1, profiled, or unset\)"):
        hook.initialize("standard", {})


def test_loggers_are_named() -> None:
    """A logger without a name takes that of the Python frame that calls it, which compiled code has none of: of its caller, then."""
    unnamed = [file.name for file in hatch_build.modules() if "get_logger()" in file.read_text()]
    assert not unnamed


def test_nothing_that_is_compiled_has_cached_properties() -> None:
    """They are worked out anew at each look there."""
    assert [file.name for file in hatch_build.modules() if "cached_property" in file.read_text()] == []


def test_one_byte_is_looked_for_by_its_number() -> None:
    """`b";" in data` makes an error and forgets it, two thousand instructions each time; `0x3B in data` does not."""
    found = [
        f"{file.name}:{node.lineno}"
        for file in hatch_build.modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn)
        if isinstance(node.left, ast.Constant) and isinstance(node.left.value, bytes) and len(node.left.value) == 1
    ]
    assert found == []
