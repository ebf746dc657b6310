"""Usage of callers: what is counted is what is taken, by hour of begin, once, in bounded memory."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.usage import NOTHING, Tokens
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats, ServiceStats
from headrace.appproxy.dataplane.telemetry.usage import UsageMeter
from headrace.appproxy.ipc.usage import UsageCounts, UsageSums
from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId, new_uuid
from tests.unit.appproxy.accounts import ended

SERVICE, REVISION = ServiceId(new_uuid()), RevisionId(new_uuid())
REPLICAS = [ReplicaStats(SERVICE, "chat", REVISION, SessionId(new_uuid())) for _ in range(2)]
REFUSING = ServiceStats(SERVICE, "chat")
HOUR_S = 3600
EPOCH_S = 1_000_000 * HOUR_S + 1800.0
"""Half past an hour."""


class Time:
    """Clocks of a meter."""

    def __init__(self) -> None:
        self.now_s = 5000.0

    def now(self) -> float:
        return self.now_s

    def epoch(self) -> float:
        return EPOCH_S + self.now_s - 5000.0


def meter(time: Time, most: int = 100) -> UsageMeter:
    return UsageMeter(time.now, time.epoch, most)


def served(
    usage: UsageMeter,
    time: Time,
    caller: str = "token:1",
    tokens: Tokens = NOTHING,
    *,
    lasted_s: float = 0.0,
    estimated: int = 0,
) -> None:
    """Count a request that ends now."""
    record = ended(tokens=tokens, ended_s=time.now_s, started_s=time.now_s - lasted_s)
    usage.served(record, REPLICAS[0], caller, estimated)


def test_requests_of_a_caller_are_one_row_of_each_replica() -> None:
    time = Time()
    usage = meter(time)
    served(usage, time, tokens=(5, 7, None))
    served(usage, time, tokens=(None, None, 9), estimated=0)
    served(usage, time, estimated=512)
    now = {"started_s": time.now_s, "ended_s": time.now_s}
    usage.served(ended(503, **now), REPLICAS[1], "token:1", 0)
    usage.refused(ended(429, reason="request-rate", **now), REFUSING, "token:1")
    sums = UsageSums()
    sums.add(usage.take())
    of_replicas, refused = sums.take()
    assert (of_replicas.revision_id, of_replicas.requests, of_replicas.errors) == (REVISION, 4, 1)
    assert (of_replicas.prompt_tokens, of_replicas.completion_tokens, of_replicas.estimated_tokens) == (14, 7, 512)
    assert of_replicas.last_s == EPOCH_S
    assert (refused.revision_id, refused.requests, refused.refused) == (None, 0, 1)
    assert usage.take() == ()


def test_a_request_counts_to_the_hour_in_which_it_began() -> None:
    time = Time()
    usage = meter(time)
    served(usage, time)
    served(usage, time, lasted_s=1801)
    served(usage, time, lasted_s=1800 + 2 * HOUR_S)
    time.now_s += 1799
    served(usage, time)
    time.now_s += 2
    served(usage, time)
    served(usage, time, lasted_s=2)
    time.now_s += 2 * HOUR_S
    served(usage, time, lasted_s=1)
    hours = Counter({one.hour - 1_000_000: one.requests for one in usage.take()})
    assert hours == {-2: 1, -1: 1, 0: 3, 1: 1, 3: 1}
    served(usage, time)
    assert [one.hour - 1_000_000 for one in usage.take()] == [3]


def test_callers_beyond_the_bound_are_counted_together() -> None:
    time = Time()
    usage = meter(time, most=10)
    for number in range(50):
        served(usage, time, f"token:{number}", (1, 0, None))
        served(usage, time, "token:0")
    taken = usage.take()
    assert len(taken) == 11
    assert sum(one.requests for one in taken) == 100
    assert {one.caller: one.requests for one in taken}["other"] == 40


rows = st.builds(
    lambda hour, caller, requests, tokens: UsageCounts(
        hour=hour,
        service_id=SERVICE,
        revision_id=REVISION,
        caller=caller,
        requests=requests,
        errors=0,
        refused=0,
        prompt_tokens=tokens,
        completion_tokens=0,
        estimated_tokens=0,
        audio_ms=0,
        last_s=float(hour),
    ),
    st.integers(1, 3),
    st.sampled_from(["public", "token:1", "token:2"]),
    st.integers(0, 9),
    st.integers(0, 9),
)


@given(st.lists(st.lists(rows, max_size=5), max_size=5), st.integers(1, 4))
def test_sums_lose_nothing_and_count_nothing_twice(reports: list[list[UsageCounts]], most: int) -> None:
    all_of_it = [(one.requests, one.prompt_tokens) for some in reports for one in some]
    sums, taken = UsageSums(), list[UsageCounts]()
    for some in reports:
        sums.add(some)
        taken += sums.take(most)
    assert len({(one.hour, one.caller) for one in sums.values()}) == len(sums)
    taken += sums.take()
    assert not len(sums)
    assert [sum(column) for column in zip(*all_of_it, strict=True)] == (
        [sum(one.requests for one in taken), sum(one.prompt_tokens for one in taken)] if all_of_it else []
    )
