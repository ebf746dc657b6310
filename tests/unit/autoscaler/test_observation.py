from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.autoscaler.domain.observation import AveragingWindow, LiveTargets, Observation, observe
from headrace.autoscaler.domain.window import WHOLE_SERVICE, Origin, Reading, Window
from headrace.common.contracts.rule import MetricSource
from tests.support.factories.rules import NOW, NOW_MS, kernel, replica, session

KERNEL, FRAMEWORK = MetricSource.KERNEL, MetricSource.INFERENCE_FRAMEWORK
AVERAGING = AveragingWindow(length=timedelta(seconds=10), freshness=timedelta(seconds=5))


def window(*readings: tuple[Origin, str, str, str, float, float]) -> Window:
    """(origin, owner, reporter, metric, seconds ago, value)…"""
    made = Window()
    for origin, owner, reporter, metric, ago_s, value in readings:
        made.add(Reading(origin, owner, reporter, metric, int(NOW_MS - ago_s * 1000), value, 1))
    return made


def evaluation(source: MetricSource, metric: str, made: Window, *replicas: int, kernels: int = 1) -> Observation:
    return observe(source, metric, LiveTargets.of([replica(n, kernels) for n in replicas]), made, AVERAGING, NOW)


def test_kernel_metric_is_the_mean_over_live_kernels_of_their_own_means() -> None:
    made = window(
        (Origin.KERNEL, kernel(1), "", "cpu_util", 3, 10),
        (Origin.KERNEL, kernel(1), "", "cpu_util", 2, 20),
        (Origin.KERNEL, kernel(1), "", "cpu_util", 1, 30),
        (Origin.KERNEL, kernel(2), "", "cpu_util", 1, 100),
    )
    assert evaluation(KERNEL, "cpu_util", made, 1, 2) == Observation(value=60, reporting=2, living=2)


def test_all_kernels_of_a_replica_count_each() -> None:
    made = window(
        *((Origin.KERNEL, kernel(1, rank), "", "mem", 1.0, value) for rank, value in enumerate([1.0, 2.0, 6.0]))
    )
    assert evaluation(KERNEL, "mem", made, 1, kernels=3) == Observation(value=3, reporting=3, living=3)


def test_dead_sessions_never_count() -> None:
    made = window(
        (Origin.KERNEL, kernel(1), "", "cpu_util", 1, 10), (Origin.KERNEL, kernel(9), "", "cpu_util", 1, 1000)
    )
    assert evaluation(KERNEL, "cpu_util", made, 1) == Observation(value=10, reporting=1, living=1)
    assert evaluation(KERNEL, "cpu_util", made) == Observation(value=None, reporting=0, living=0)


def test_values_before_the_window_do_not_count() -> None:
    made = window(
        (Origin.KERNEL, kernel(1), "", "cpu_util", 11, 1000), (Origin.KERNEL, kernel(1), "", "cpu_util", 1, 10)
    )
    assert evaluation(KERNEL, "cpu_util", made, 1).value == 10


def test_a_reporter_that_is_not_silent_yet_but_said_nothing_within_the_window_does_not_count() -> None:
    made = window(
        (Origin.KERNEL, kernel(1), "", "cpu_util", 3, 1000), (Origin.KERNEL, kernel(2), "", "cpu_util", 1, 10)
    )
    short = AveragingWindow(length=timedelta(seconds=2), freshness=timedelta(seconds=5))
    live = LiveTargets.of([replica(1), replica(2)])
    assert observe(KERNEL, "cpu_util", live, made, short, NOW) == Observation(value=10, reporting=1, living=2)


def test_a_silent_reporter_does_not_count() -> None:
    made = window(
        (Origin.KERNEL, kernel(1), "", "cpu_util", 6, 1000), (Origin.KERNEL, kernel(2), "", "cpu_util", 4, 10)
    )
    assert evaluation(KERNEL, "cpu_util", made, 1, 2) == Observation(value=10, reporting=1, living=2)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("headrace_in_flight", 7),
        ("headrace_requests_per_second", 7),
        ("headrace_duration_seconds", 3.5),
        ("headrace_time_to_first_byte_seconds", 3.5),
    ],
)
def test_counts_and_rates_of_proxies_are_added_and_times_averaged(metric: str, value: float) -> None:
    made = window((Origin.PROXY, session(1), "a", metric, 1, 2), (Origin.PROXY, session(1), "b", metric, 1, 5))
    assert evaluation(FRAMEWORK, metric, made, 1).value == value


def test_framework_metric_is_the_mean_over_replicas_whoever_reports_it() -> None:
    made = window(
        (Origin.PROXY, session(1), "a", "queue", 1, 2),
        (Origin.PROXY, session(1), "b", "queue", 1, 4),
        (Origin.ENGINE, kernel(2, 0), "", "queue", 1, 10),
        (Origin.ENGINE, kernel(2, 1), "", "queue", 1, 30),
    )
    assert evaluation(FRAMEWORK, "queue", made, 1, 2, 3, kernels=2) == Observation(value=13, reporting=2, living=3)


def test_a_proxys_word_comes_before_the_engines() -> None:
    made = window((Origin.PROXY, session(1), "a", "queue", 1, 2), (Origin.ENGINE, kernel(1), "", "queue", 1, 50))
    assert evaluation(FRAMEWORK, "queue", made, 1).value == 2


def test_sources_do_not_mix() -> None:
    made = window((Origin.KERNEL, kernel(1), "", "load", 1, 2), (Origin.ENGINE, kernel(1), "", "load", 1, 50))
    assert evaluation(KERNEL, "load", made, 1).value == 2
    assert evaluation(FRAMEWORK, "load", made, 1).value == 50


def test_a_window_forgets() -> None:
    made = window((Origin.KERNEL, kernel(1), "", "a", 9, 1), (Origin.KERNEL, kernel(1), "", "b", 3, 1))
    assert made.newest_ms("a") == NOW_MS - 9000
    made.forget_before(NOW_MS - 5000)
    assert made.newest_ms("a") is None
    assert made.newest_ms("b") == NOW_MS - 3000
    made.forget_before(NOW_MS)
    assert made.newest_ms("b") is None


@pytest.mark.parametrize(
    ("metric", "value"), [("headrace_queued", 7), ("headrace_refused_per_second", 7), ("headrace_queue_seconds", 3.5)]
)
@pytest.mark.parametrize("replicas", [(), (1,), (1, 2, 3)])
def test_what_proxies_say_of_the_service_is_not_divided_by_its_replicas(
    metric: str, value: float, replicas: tuple[int, ...]
) -> None:
    made = window((Origin.PROXY, WHOLE_SERVICE, "a", metric, 1, 2), (Origin.PROXY, WHOLE_SERVICE, "b", metric, 1, 5))
    assert evaluation(FRAMEWORK, metric, made, *replicas) == Observation(value, 2, len(replicas), whole=True)
    assert evaluation(KERNEL, metric, made, *replicas).value is None


def test_a_silent_proxys_word_of_the_service_does_not_count() -> None:
    made = window(
        (Origin.PROXY, WHOLE_SERVICE, "a", "headrace_queued", 6, 900),
        (Origin.PROXY, WHOLE_SERVICE, "b", "headrace_queued", 1, 5),
    )
    assert evaluation(FRAMEWORK, "headrace_queued", made).value == 5
