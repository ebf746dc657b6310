"""Numbers are counted where Prometheus would count them."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.telemetry.stats import SECONDS, ReplicaStats


@given(st.floats(0, 1000) | st.sampled_from(SECONDS))
def test_durations_are_counted_up_to_and_with_the_bound(seconds: float) -> None:
    numbers = ReplicaStats("s", "chat", "r", "one")
    numbers.ended(200, seconds, seconds)
    place = bisect_left(SECONDS, seconds)
    assert [at for at, count in enumerate(numbers.durations.counts) if count] == [place]
    assert numbers.first_bytes.counts == numbers.durations.counts
