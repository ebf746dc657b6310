"""The groups of a parallel run reach pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAME = "tests/unit/support/test_groups.py"


@pytest.fixture(scope="module")
def dear() -> str:
    """Something that is made once for this file, so that its tests are to run in one worker."""
    return "made once"


def name_in(group: str) -> str:
    return f"{group}::test_of_a_group@{group}"


def test_of_a_group(dear: str, request: pytest.FixtureRequest) -> None:
    """In a parallel run, which pytest-xdist groups by what follows the @ in the names of its tests."""
    assert dear
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid == name_in(NAME)


def test_a_parallel_run_keeps_the_tests_of_a_group_in_one_worker(request: pytest.FixtureRequest) -> None:
    """Tried in a run of its own where this one is not parallel: else the test above has seen it, and a run takes 3 s of CPU."""
    if request.config.getoption("loadgroup", default=False):
        return
    chosen = (f"{NAME}::test_of_a_group", "-v", "-n1", "--dist=loadgroup", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *chosen]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert f"PASSED {name_in(NAME)}" in ran.stdout, ran.stdout + ran.stderr
