"""Benchmarks say of every case whether it meets its target, and one that misses does not keep the others from running."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.judged import Case, judge


def test_all_benchmarks_run_though_one_misses_and_the_whole_fails_at_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran: list[str] = []

    def run(name: str) -> int:
        ran.append(name)
        return {"second": 1, "third": -9}.get(name, 0)

    assert bench.run_all(("first", "second", "third", "fourth"), run) == 1
    assert ran == ["first", "second", "third", "fourth"]
    printed = capsys.readouterr().out
    assert "first: all targets met" in printed
    assert "second: a target was MISSED" in printed
    assert bench.run_all(("first",), run) == 0


def test_every_benchmark_is_run() -> None:
    files = {path.stem for path in Path(bench.__file__).parent.glob("*.py")}
    assert files - {"__init__", "__main__", "judged", "manager"} == set(bench.ALL)


def test_each_case_is_printed_with_its_judgement(capsys: pytest.CaptureFixture[str]) -> None:
    fast = Case("fast", 12_345.6, "at least", 10_000, "/s", "11,000 to 13,000")
    slow, cheap = Case("slow", 9_999.9, "at least", 10_000, "/s"), Case("cheap", 0.31, "at most", 0.5, " cores")
    assert judge([fast, cheap])
    assert not judge([slow, cheap])
    printed = capsys.readouterr().out
    assert "fast: 12,346/s (11,000 to 13,000); at least 10,000/s: met" in printed
    assert "slow: 10,000/s; at least 10,000/s: MISSED" in printed
    assert "cheap: 0.31 cores; at most 0.5 cores: met" in printed
