"""A worker that hangs is told from one that a busy machine starves."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.appproxy.control.workers.pool import _WATCH_EVERY_S
from headrace.appproxy.control.workers.watchdog import (
    SILENT_S,
    STARTING_S,
    STARVED_S,
    ProcessStat,
    hang_reason,
    read_stat,
)
from headrace.appproxy.worker.worker import _REPORT_EVERY_S


@pytest.mark.parametrize(
    ("state", "cpu_s", "why"),
    [
        ("T", 0.0, "stopped"),
        ("t", 0.0, "stopped"),
        ("S", 0.0, "blocked"),
        ("R", SILENT_S, "busy without end"),
        ("R", 0.1, None),
        ("D", 0.0, None),
    ],
)
def test_who_is_silent_without_an_excuse_hangs(state: str, cpu_s: float, why: str | None) -> None:
    assert hang_reason(SILENT_S + 0.1, ProcessStat(state, 10 + cpu_s), 10.0, reported_once=True) == why
    assert hang_reason(SILENT_S, ProcessStat(state, 10 + cpu_s), 10.0, reported_once=True) is None


def test_who_gets_no_processor_has_longer_but_not_for_ever() -> None:
    assert hang_reason(STARVED_S, ProcessStat("R", 1.0), 0.0, reported_once=True) is None
    assert hang_reason(STARVED_S + 1, ProcessStat("R", 1.0), 0.0, reported_once=True) == "starved"
    assert hang_reason(STARVED_S + 1, ProcessStat("D", 0.0), 0.0, reported_once=True) == "starved"


def test_who_starts_may_take_its_time() -> None:
    assert hang_reason(STARTING_S, ProcessStat("S", 0.0), 0.0, reported_once=False) is None
    assert hang_reason(STARTING_S + 1, ProcessStat("R", 0.0), 0.0, reported_once=False) == "did not start"


def test_it_is_found_and_ended_within_three_seconds() -> None:
    """After its last word: its silence, and two looks, as one is passed over where this process itself was late."""
    assert _REPORT_EVERY_S < SILENT_S / 4, "a few words that are late are no silence"
    assert SILENT_S + 2 * _WATCH_EVERY_S + _REPORT_EVERY_S < 3


def test_the_system_is_read_whatever_a_process_calls_itself() -> None:
    text = "7 (a ) R b) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 1 0 99 1 1"
    assert read_stat(text, 100.0) == ProcessStat("S", 2.0)
    assert read_stat(Path("/proc/self/stat").read_text(encoding="utf-8"), 100.0).state == "R"
