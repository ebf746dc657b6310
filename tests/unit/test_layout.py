"""The repository's own invariants."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    "common",
    "sdk",
    "cli",
    "engine",
    "embedded",
    "install",
    "backup",
    "manager",
    "agent",
    "appproxy",
    "autoscaler",
]


def test_no_init_file_breaks_the_namespace() -> None:
    assert [str(p) for top in ("libs", "services") for p in (ROOT / top).glob("*/headrace/__init__.py")] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_every_module_can_be_imported(name: str) -> None:
    package = importlib.import_module(f"headrace.{name}")
    for module in pkgutil.walk_packages(package.__path__, prefix=f"headrace.{name}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_files_stay_short() -> None:
    """About 300 lines is where a file asks to be split; 450 is where it must be."""
    sources = [p for top in ("libs", "services") for p in (ROOT / top).rglob("*.py")]
    assert len(sources) > 50
    assert {str(p.relative_to(ROOT)): n for p in sources if (n := len(p.read_text().splitlines())) > 450} == {}


def test_the_formatter_alone_decides_layout() -> None:
    marks = ("fmt: " + "skip", "fmt: " + "off")
    sources = [p for top in ("libs", "services", "tests", "benchmarks", "fuzz") for p in (ROOT / top).rglob("*.py")]
    assert not [str(p.relative_to(ROOT)) for p in sources if any(mark in p.read_text() for mark in marks)]


def test_no_line_is_marked_as_not_to_be_counted_by_coverage() -> None:
    """pyproject.toml has the one list of what is left out."""
    sources = [p for top in ("libs", "services") for p in (ROOT / top).rglob("*.py")]
    assert not [str(p.relative_to(ROOT)) for p in sources if "pragma: no " in p.read_text()]
