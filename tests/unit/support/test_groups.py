"""The groups of a parallel run reach pytest-xdist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def dear() -> str:
    """Something that is made once for this file, so that its tests are to run in one worker."""
    return "made once"


def test_of_a_group(dear: str) -> None:
    assert dear


def test_a_parallel_run_keeps_the_tests_of_a_group_in_one_worker() -> None:
    name = "tests/unit/support/test_groups.py"
    chosen = (f"{name}::test_of_a_group", "-v", "-n1", "--dist=loadgroup", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *chosen]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert f"PASSED {name}::test_of_a_group@{name}" in ran.stdout, ran.stdout + ran.stderr
