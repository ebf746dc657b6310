"""CI's second look at few failed tests: it forgives what passes alone, says so, and forgives nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.rerun_failed import MOST, Result, error_lines, is_flaky, main, read, to_rerun
from tests.support.failures import REPORT, without_group

ROOT = Path(__file__).parents[2]
FAILED = Result(1, {"tests/test_a.py::test_b": "E   AssertionError: no"}, tests=4000)


def failed(count: int) -> Result:
    return Result(1, {f"tests/test_a.py::test_{n}": "E" for n in range(count)})


def test_few_that_failed_are_run_again_and_many_are_not() -> None:
    assert to_rerun(FAILED) == ["tests/test_a.py::test_b"]
    assert len(to_rerun(failed(MOST))) == MOST
    assert to_rerun(failed(MOST + 1)) == []


@pytest.mark.parametrize("ended", [None, 0, 2, 3, 4, 5])
def test_a_run_that_did_not_end_with_failed_tests_is_not_looked_at_again(ended: int | None) -> None:
    assert to_rerun(Result(ended, FAILED.errors)) == []


def test_what_could_not_be_collected_and_skipped_tests_in_ci_are_not_forgiven() -> None:
    assert to_rerun(Result(1, {"tests/test_a.py": "SyntaxError"}, uncollected=True)) == []
    assert to_rerun(Result(1, {})) == []


def test_flaky_is_what_passes_alone() -> None:
    assert is_flaky(FAILED, Result(0, tests=1))
    assert not is_flaky(FAILED, Result(1, FAILED.errors, tests=1))
    assert not is_flaky(FAILED, Result(0, tests=0)), "it did not run"
    assert not is_flaky(FAILED, Result(None, tests=1))
    assert not is_flaky(failed(MOST + 1), Result(0, tests=MOST + 1))


def test_a_report_is_read_and_a_broken_one_is_of_a_run_that_did_not_end() -> None:
    error = json.dumps({"test": "t::a", "when": "teardown", "error": "first"})
    later = json.dumps({"test": "t::a", "when": "call", "error": "second"})
    end = json.dumps({"ended": 1, "tests": 7})
    assert read([error, later, end]) == Result(1, {"t::a": "first"}, tests=7)
    assert read([error]).ended is None
    assert read([error, end[:-3]]) == Result()
    assert read([json.dumps({"test": "t", "when": "collect", "error": ""}), end]).uncollected


def test_a_test_is_named_as_pytest_takes_it() -> None:
    assert without_group("tests/e2e/test_x.py::test_y[docker]@e2e-docker") == "tests/e2e/test_x.py::test_y[docker]"
    assert without_group("tests/x.py::test_y@tests/x.py") == "tests/x.py::test_y"
    assert without_group("tests/x.py::test_y[a@b]") == "tests/x.py::test_y[a@b]"


def test_the_lines_with_the_error_are_told() -> None:
    text = "def test():\n>       assert 1 == 2\nE       assert 1 == 2\n\ntests/test_a.py:7: AssertionError"
    assert error_lines(text) == ["E       assert 1 == 2", "tests/test_a.py:7: AssertionError"]
    assert error_lines("worker 'gw0' crashed") == ["worker 'gw0' crashed"]
    assert len(error_lines("\n".join(f"E   {n}" for n in range(99)))) == 12


SUITE = """
import pathlib, pytest
here = pathlib.Path(__file__).parent

@pytest.fixture
def leaking():
    yield
    if not (here / "seen").exists():
        (here / "seen").touch()
        raise RuntimeError("left open")

@pytest.mark.parametrize("name", ["a b", "c@d"])
def test_that_passes(name):
    pass

def test_with_an_error_at_its_end(leaking):
    pass

def test_with_a_value():
    assert (here / "mended").exists(), "still broken"
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


class Runs:
    """Runs pytest in a folder, as `make test` does in the repository, and remembers how."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.args: list[list[str]] = []

    def __call__(self, args: Sequence[str], report: Path) -> int:
        self.args.append(list(args))
        report.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "xdist",
            "-p",
            "tests.support.failures",
        ]
        alone = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others take a while to import
        env = {**os.environ, **alone, REPORT: str(report)}
        command += ["-n1", "--dist", "loadgroup", *args]
        return subprocess.run(command, cwd=self.folder, env=env, check=False, stdout=subprocess.DEVNULL).returncode


def test_of_a_real_run_what_failed_runs_again_alone_and_is_told(suite: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (suite / "mended").touch()
    runs = Runs(suite)
    assert main([], runs, suite / "build") == 0
    names = suite / "build/rerun.txt"
    assert runs.args == [[], ["-n0", f"@{names}"]]
    assert names.read_text() == "test_suite.py::test_with_an_error_at_its_end\n"
    flaky = (suite / "build/flaky.txt").read_text()
    assert "test_suite.py::test_with_an_error_at_its_end\n" in flaky
    assert "RuntimeError: left open" in flaky
    assert flaky.strip() in capfd.readouterr().out


def test_what_fails_again_fails_the_run_also_beside_one_that_passes(suite: Path) -> None:
    runs = Runs(suite)
    assert main([], runs, suite / "build") == 1
    assert len(runs.args) == 2
    assert not (suite / "build/flaky.txt").exists()


def test_what_passes_runs_once(suite: Path) -> None:
    (suite / "mended").touch()
    (suite / "seen").touch()
    runs = Runs(suite)
    assert main(["test_suite.py"], runs, suite / "build") == 0
    assert runs.args == [["test_suite.py"]]


def test_a_run_that_could_not_begin_is_not_repeated(suite: Path) -> None:
    runs = Runs(suite)
    assert main(["--no-such-option"], runs, suite / "build") == 4
    assert len(runs.args) == 1
