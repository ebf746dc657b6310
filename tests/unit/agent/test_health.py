"""The health machine against the times of the seed, with a clock of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from headrace.agent.domain.health import (
    Check,
    Health,
    Policy,
    begin,
    due_at,
    finish_check,
    foreign_answer,
    port_timed_out,
    resume,
    start_check,
)
from headrace.common.contracts.model import HealthCheck

START = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULTS = HealthCheck(path="/health")


class Clock:
    """Runs a machine through time: `answers(seconds)` says whether a check begun then passes."""

    def __init__(self, check: HealthCheck | None, started_at: datetime = START) -> None:
        self.policy = Policy.of(check)
        self.health = begin(self.policy, started_at)
        self.history: list[tuple[float, str]] = []
        self.checks: list[float] = []
        self.looks: list[float] = []

    def run(self, until_s: float, answers: object) -> Clock:
        while (due := (due_at(self.health) - START).total_seconds()) <= until_s:
            self.health, check = start_check(self.policy, self.health, due_at(self.health))
            (self.looks if check.extra else self.checks).append(due)
            passed = bool(answers(due)) if callable(answers) else bool(answers)
            before = self.health.status
            self.health = finish_check(self.policy, self.health, check, passed=passed, detail="seen")
            if self.health.status != before:
                self.history.append((due, self.health.status))
        return self


def test_a_start_that_never_answers_is_unhealthy_after_exactly_170_s() -> None:
    clock = Clock(DEFAULTS)
    assert (clock.health.status, clock.health.reason.code) == ("degraded", "initial-delay")
    clock.run(169.999, answers=False)
    assert (clock.health.status, clock.health.failures) == ("degraded", 10)
    assert clock.health.reason.code == "not-yet-healthy"
    clock.run(170, answers=False)
    assert clock.history == [(170.0, "unhealthy")]
    assert (clock.health.failures, clock.health.reason.code) == (11, "health-check-failed")


def test_in_operation_it_takes_exactly_110_s_from_the_last_good_answer() -> None:
    clock = Clock(DEFAULTS).run(500, answers=lambda s: s <= 300)
    assert clock.history == [(60.0, "healthy"), (410.0, "unhealthy")]


def test_no_check_in_the_initial_delay_and_a_look_at_its_end() -> None:
    clock = Clock(DEFAULTS).run(100, answers=True)
    assert clock.checks == [60, 70, 80, 90, 100]
    assert clock.history == [(60.0, "healthy")]


def test_until_the_first_success_it_is_asked_ten_times_a_second_and_no_more_after_it() -> None:
    clock = Clock(DEFAULTS).run(300, answers=lambda s: s >= 63.25)
    assert clock.history == [(63.3, "healthy")]
    assert clock.looks[0] == 60.1
    assert clock.looks[-1] == 63.3
    assert clock.checks == [60, *range(70, 301, 10)]


def test_looks_end_when_it_is_unhealthy_and_never_come_in_operation() -> None:
    never = Clock(DEFAULTS).run(400, answers=False)
    assert max(never.looks) < 170
    was = Clock(DEFAULTS).run(1000, answers=lambda s: s <= 300)
    assert was.looks == []


def test_a_failed_look_does_not_hide_the_failure_of_a_check_that_was_asked_before_it() -> None:
    policy = Policy.of(HealthCheck(path="/", initial_delay=0, interval=1, max_wait_time=5, max_retries=0))
    health, first = start_check(policy, begin(policy, START), START)
    health = finish_check(policy, health, first, passed=False, detail="refused")
    health, counted = start_check(policy, health.model_copy(update={"next_look_at": None}), health.next_check_at)
    health, look = start_check(policy, health, due_at(health))
    assert (counted.counts, look.extra) == (True, True)
    health = finish_check(policy, health, look, passed=False, detail="refused")
    assert health.status == "degraded"
    health = finish_check(policy, health, counted, passed=False, detail="no answer within 5 s")
    assert (health.status, health.failures) == ("unhealthy", 1)


def test_one_success_resets_the_count_and_brings_it_back() -> None:
    clock = Clock(DEFAULTS).run(1000, answers=lambda s: s in {60, 160} or s >= 400)
    # good at 160, so the eleventh failure is at 270; one success at 400 brings it back
    assert clock.history == [(60.0, "healthy"), (270.0, "unhealthy"), (400.0, "healthy")]
    assert clock.health.failures == 0


def test_while_it_fails_less_often_than_allowed_it_stays_healthy_and_says_so() -> None:
    clock = Clock(DEFAULTS).run(120, answers=lambda s: s <= 60)
    assert (clock.health.status, clock.health.failures, clock.health.reason.code) == (
        "healthy",
        6,
        "health-check-failing",
    )


def test_with_no_retries_the_first_counted_failure_decides() -> None:
    check = HealthCheck(path="/", initial_delay=0, interval=1, max_retries=0)
    assert Clock(check).run(5, answers=False).history == [(1.0, "unhealthy")]


@given(
    delay=st.integers(0, 300),
    interval=st.integers(1, 10),
    retries=st.integers(0, 4),
    last_good=st.integers(0, 50),
)
def test_the_two_formulas_hold_for_all_settings(delay: int, interval: int, retries: int, last_good: int) -> None:
    check = HealthCheck(path="/", initial_delay=delay, interval=interval, max_retries=retries)
    first = delay + interval * (retries + 1)
    assert Clock(check).run(first + 10 * interval, answers=False).history == [(first, "unhealthy")]
    good = delay + interval * last_good
    history = Clock(check).run(good + interval * (retries + 10), answers=lambda s: s <= good).history
    assert history == [(delay, "healthy"), (good + interval * (retries + 1), "unhealthy")]


def test_checks_that_take_longer_than_the_interval_overlap_and_stale_answers_are_dropped() -> None:
    policy = Policy.of(HealthCheck(path="/", initial_delay=0, interval=1, max_wait_time=5, max_retries=2))
    health = begin(policy, START)
    under_way: list[Check] = []
    for second in range(5):
        assert health.next_check_at == START + timedelta(seconds=second)
        health, check = start_check(policy, health, health.next_check_at)
        under_way.append(check)
    health = finish_check(policy, health, under_way[4], passed=True, detail="answered 200")
    for check in under_way[:4]:  # their time-outs come later and tell nothing new
        health = finish_check(policy, health, check, passed=False, detail="no answer")
    assert (health.status, health.failures) == ("healthy", 0)


def test_a_server_that_hangs_is_unhealthy_one_check_time_after_the_formula() -> None:
    check = HealthCheck(path="/", initial_delay=0, interval=1, max_wait_time=5, max_retries=3)
    policy = Policy.of(check)
    health = begin(policy, START)
    pending: list[tuple[datetime, Check]] = []
    now = START
    while health.status != "unhealthy":
        now += timedelta(milliseconds=100)
        while health.next_check_at <= now:
            health, begun = start_check(policy, health, health.next_check_at)
            pending.append((now + timedelta(seconds=5), begun))
        while pending and pending[0][0] <= now:
            health = finish_check(policy, health, pending.pop(0)[1], passed=False, detail="no answer within 5 s")
    assert now - START <= timedelta(seconds=1 * 4 + 5 + 0.2)


def test_a_machine_that_slept_does_not_make_up_for_missed_checks() -> None:
    policy = Policy.of(DEFAULTS)
    health = begin(policy, START)
    late = START + timedelta(hours=1)
    health, _ = start_check(policy, health, late)
    assert health.next_check_at == late + timedelta(seconds=10)


def test_a_clock_that_is_set_back_stops_neither_checks_nor_answers() -> None:
    """A machine whose clock ran an hour ahead is corrected: what hangs from then on is out after the usual time."""
    clock = Clock(DEFAULTS).run(300, answers=True)
    now, began = START - timedelta(hours=1), START - timedelta(hours=1)
    while clock.health.status != "unhealthy":
        clock.health, check = start_check(clock.policy, clock.health, now)
        clock.health = finish_check(clock.policy, clock.health, check, passed=False, detail="seen")
        assert now < clock.health.next_check_at <= now + timedelta(seconds=20)
        now = clock.health.next_check_at
    assert now - began <= timedelta(seconds=130)


def test_without_health_check_the_port_decides() -> None:
    clock = Clock(None)
    assert clock.health.reason.code == "waiting-for-port"
    clock.run(100, answers=lambda s: s >= 90)
    assert clock.history == [(90.0, "healthy")]  # never unhealthy before, however long it loads
    assert clock.health.reason.code == "port-open"
    clock.run(200, answers=lambda s: not 150 <= s < 151)
    assert clock.history[1:] == [(150.0, "unhealthy"), (151.0, "healthy")]


def test_an_adopted_kernel_stays_healthy_and_is_looked_at_at_once() -> None:
    healthy = Clock(DEFAULTS).run(100, answers=True).health
    later = START + timedelta(seconds=104)
    adopted = resume(Health.model_validate_json(healthy.model_dump_json()), later)
    assert (adopted.status, adopted.next_check_at) == ("healthy", later)
    policy = Policy.of(DEFAULTS)
    after, check = start_check(policy, adopted, later)
    after = finish_check(policy, after, check, passed=False, detail="refused")
    assert (after.status, after.failures) == ("healthy", 0)  # the extra look can only help
    assert after.next_check_at == later + timedelta(seconds=10)


def test_an_adopted_kernel_in_its_initial_delay_waits_on() -> None:
    fresh = begin(Policy.of(DEFAULTS), START)
    assert resume(fresh, START + timedelta(seconds=30)) == fresh
    assert resume(fresh, START + timedelta(seconds=90)).next_check_at == START + timedelta(seconds=90)


def test_a_port_that_never_opens_is_a_failed_start_when_its_time_is_over_and_not_before() -> None:
    policy = Policy.of(None, open_within_s=1800)
    health = begin(policy, START)

    def after(health: Health, seconds: float, *, passed: bool = False) -> Health:
        check = Check(started_at=START + timedelta(seconds=seconds), counts=health.was_healthy)
        return port_timed_out(
            policy, finish_check(policy, health, check, passed=passed, detail="refused"), check, START
        )

    health = after(health, 1799.9)
    assert (health.status, health.reason.code) == ("degraded", "waiting-for-port")
    over = after(health, 1800)
    assert (over.status, over.reason.code, over.was_healthy) == ("unhealthy", "port-never-opened", False)
    assert "within 1800 s" in over.reason.text
    assert "refused" in over.reason.text
    assert after(over, 1801, passed=True).status == "healthy"  # it came after all
    opened = after(health, 1799.95, passed=True)
    assert after(opened, 5000).reason.code == "port-closed"  # what served once is judged by its checks
    patient = Policy.of(None)
    check = Check(started_at=START + timedelta(days=30), counts=False)
    assert port_timed_out(patient, health, check, START) == health


def test_somebody_elses_answer_puts_it_out_at_once_unless_its_own_program_answered_a_later_question() -> None:
    healthy = Clock(DEFAULTS).run(100, answers=True).health
    words = "port 8000 is held by nginx"
    earlier, later = (Check(started_at=START + timedelta(seconds=s), counts=True) for s in (90, 110))
    assert foreign_answer(healthy, earlier, words) == healthy
    out = foreign_answer(healthy, later, words)
    assert (out.status, out.reason.code, out.reason.text) == ("unhealthy", "port-taken", words)
    assert out.heard_at == later.started_at
