"""One line per request: successes by their share, failures up to a bound, and how many were left out is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from headrace.appproxy.dataplane.telemetry.access_log import AccessLog
from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from tests.unit.appproxy.accounts import ended


@dataclass
class Clock:
    now_s: float = 0.0


def made(clock: Clock | None = None, *, share: float = 0.0, most: int = 3) -> AccessLog:
    clock = clock or Clock()
    return AccessLog(share=share, most_per_s=most, chance=lambda: 0.5, now=lambda: clock.now_s)


@pytest.mark.parametrize(("share", "lines"), [(0.4, 0), (0.6, 1)])
def test_successes_are_logged_by_their_share(share: float, lines: int) -> None:
    with capture_logs() as said:
        made(share=share).ended(ended(), 1.23456789)
    assert [(line["event"], line["log_level"], line["seconds"]) for line in said] == [
        ("request_ended", "info", 1.234568)
    ] * lines


@pytest.mark.parametrize(
    ("one", "level"),
    [(ended(404), "info"), (ended(503, reason="starting"), "warning"), (ended(broken="idle-timeout"), "warning")],
)
def test_failures_are_always_logged(one: RequestRecord, level: str) -> None:
    with capture_logs() as said:
        made().ended(one, 1.0)
    assert [line["log_level"] for line in said] == [level]


def _fails(log: AccessLog, times: int) -> None:
    failed = ended(404)
    for _ in range(times):
        log.ended(failed, 0.1)


Then = Callable[[AccessLog], None]


@pytest.mark.parametrize(
    ("then", "further"),
    [(lambda log: _fails(log, 1), ["request_ended"]), (lambda log: log.log_suppressed(), [])],
    ids=["by the next one", "when asked"],
)
def test_what_was_left_out_of_a_second_is_said_once_it_is_over(then: Then, further: list[str]) -> None:
    clock = Clock(5.2)
    log = made(clock)
    with capture_logs() as said:
        _fails(log, 1000)
        clock.now_s = 5.9
        log.log_suppressed()
        assert [line["event"] for line in said] == ["request_ended"] * 3
        clock.now_s = 6.1
        then(log)
        log.log_suppressed()
    assert [line["event"] for line in said[3:]] == ["requests_not_logged", *further]
    assert (said[3]["failed"], said[3]["allowed_per_s"]) == (997, 3)


def test_at_the_end_nothing_is_waited_for() -> None:
    log = made()
    with capture_logs() as said:
        _fails(log, 5)
        log.log_suppressed(last=True)
        log.log_suppressed(last=True)
    assert [line["event"] for line in said] == ["request_ended"] * 3 + ["requests_not_logged"]
