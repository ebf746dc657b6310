"""History of metrics: histograms are merged, gaps stay gaps, minutes say what their windows said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.traffic import LATENCY_BOUNDS_S, ReplicaTraffic
from headrace.common.contracts.metric_series import QUANTILES, SERIES, SeriesBy, SeriesName
from headrace.common.contracts.problems import InvalidRequest
from headrace.manager.domain.metric_history.interval import Interval, interval
from headrace.manager.domain.metric_history.points import NO_SERVICE, Hour, Point, ReplicaResources, hour_of
from headrace.manager.domain.metric_history.quantiles import quantile
from headrace.manager.domain.metric_history.reading import parsed, samples_of, windows_of
from headrace.manager.domain.metric_history.series import Chosen, Heard, ReplicaCount, Sample, SeriesFound, series_of
from headrace.manager.domain.records.metric_history import StoredHour, StoredWindow

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SERVICE, OLD, NEW = ServiceId(new_uuid()), RevisionId(new_uuid()), RevisionId(new_uuid())
ONE, TWO = SessionId(new_uuid()), SessionId(new_uuid())
TEN = timedelta(seconds=10)
counts = st.integers(0, 50)
buckets = st.dictionaries(st.integers(0, len(LATENCY_BOUNDS_S)), st.integers(1, 50), max_size=5)


def traffic(session: SessionId = ONE, revision: RevisionId = OLD, **values: object) -> ReplicaTraffic:
    """Traffic of a replica in a window."""
    return ReplicaTraffic.model_validate({"session_id": session, "revision_id": revision, **values})


def found(
    samples: list[Sample],
    heard: list[Heard],
    *names: SeriesName,
    by: SeriesBy = "service",
    steps: int = 3,
    step_s: int = 10,
    counts: list[ReplicaCount] | None = None,
) -> SeriesFound:
    """Return the series of the steps since NOW."""
    wanted = Chosen(Interval(NOW, NOW + timedelta(seconds=steps * step_s), step_s), by, names)
    return series_of(wanted, samples, heard, counts or [], {ONE: OLD, TWO: NEW})


def test_a_quantile_is_within_the_bucket_in_which_it_must_be() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({7: 10}, 0.5) == pytest.approx(0.175)  # between 0.1 and 0.25
    assert quantile({0: 1}, 1) == LATENCY_BOUNDS_S[0]
    assert quantile({len(LATENCY_BOUNDS_S): 3}, 0.5) == LATENCY_BOUNDS_S[-1], "no more is known of it"
    assert quantile({3: 99, 9: 1}, 0.99) == pytest.approx(0.01)


@given(buckets, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow_with_their_share(histogram: dict[int, int], one: float, other: float) -> None:
    low, high = (quantile(histogram, share) for share in sorted((one, other)))
    assert (low is None) == (not histogram)
    if low is not None and high is not None:
        assert low <= high <= LATENCY_BOUNDS_S[-1]


def test_no_data_is_a_gap_and_no_traffic_is_zero() -> None:
    samples = [Sample(NOW, 10, Point(replicas=(traffic(succeeded=20, latencies={7: 20}),)))]
    heard = [Heard(NOW, 10), Heard(NOW + TEN, 10)]
    requests, latency, success = found(
        samples, heard, SeriesName.REQUESTS, SeriesName.LATENCY_P50, SeriesName.SUCCESS
    ).series
    assert requests.values == (2.0, 0.0, None)
    assert latency.values == (0.175, None, None), "without a request there is no latency"
    assert success.values == (1.0, None, None)


def test_rates_are_of_the_time_in_which_app_proxies_were_heard() -> None:
    samples = [Sample(NOW, 10, Point(replicas=(traffic(succeeded=20),)))]
    (requests,) = found(samples, [Heard(NOW, 10)], SeriesName.REQUESTS, steps=1, step_s=60).series
    assert requests.values == (2.0,)


def test_classes_of_answers_and_refusals_by_reason() -> None:
    one = traffic(succeeded=6, client_errors=2, server_errors=1, interrupted=1, left=1)
    point = Point(replicas=(one,), refused={"queue-full": 5, "unauthorized": 10}, queued=3)
    names = (
        SeriesName.REQUESTS,
        SeriesName.CLIENT_ERRORS,
        SeriesName.SERVER_ERRORS,
        SeriesName.SUCCESS,
        SeriesName.REFUSED,
        SeriesName.QUEUED,
    )
    series = found([Sample(NOW, 10, point)], [Heard(NOW, 10)], *names, steps=1).series
    assert {(one.name, one.reason): one.values for one in series} == {
        (SeriesName.REQUESTS, None): (1.0,),
        (SeriesName.CLIENT_ERRORS, None): (0.2,),
        (SeriesName.SERVER_ERRORS, None): (0.1,),
        (SeriesName.SUCCESS, None): (pytest.approx(7 / 9),),
        (SeriesName.REFUSED, None): (1.5,),
        (SeriesName.REFUSED, "queue-full"): (0.5,),
        (SeriesName.REFUSED, "unauthorized"): (1.0,),
        (SeriesName.QUEUED, None): (3.0,),
    }


def test_latencies_of_replicas_are_merged_not_averaged() -> None:
    point = Point(replicas=(traffic(latencies={3: 99}), traffic(TWO, NEW, latencies={9: 1})))
    (p99,) = found([Sample(NOW, 10, point)], [Heard(NOW, 10)], SeriesName.LATENCY_P99, steps=1).series
    assert list(p99.values) == [pytest.approx(0.01)], "one request of a hundred was slow"
    by_replica = found([Sample(NOW, 10, point)], [Heard(NOW, 10)], SeriesName.LATENCY_P99, by="replica", steps=1)
    assert {one.id: one.values[0] for one in by_replica.series} == {
        ONE: pytest.approx(0.00995),
        TWO: pytest.approx(0.995),
    }


def test_a_revision_has_no_values_before_its_first_and_after_its_last_sign_of_life() -> None:
    samples = [
        Sample(NOW, 10, Point(replicas=(traffic(succeeded=10),))),
        Sample(NOW + TEN, 10, Point(replicas=(traffic(TWO, NEW, succeeded=10),))),
        Sample(NOW + 3 * TEN, 10, Point(resources=(ReplicaResources(session_id=TWO, cpu_cores=1.5),))),
    ]
    heard = [Heard(NOW + number * TEN, 10) for number in range(5)]
    series = found(samples, heard, SeriesName.REQUESTS, SeriesName.CPU, by="revision", steps=5).series
    assert {(one.name, one.id): one.values for one in series} == {
        (SeriesName.REQUESTS, OLD): (1.0, None, None, None, None),
        (SeriesName.REQUESTS, NEW): (None, 1.0, 0.0, 0.0, None),
        (SeriesName.CPU, OLD): (None,) * 5,
        (SeriesName.CPU, NEW): (None, None, None, 1.5, None),
    }


def test_only_the_busiest_replicas_are_told_and_how_many_are_not() -> None:
    replicas = tuple(traffic(SessionId(new_uuid()), succeeded=number) for number in range(30))
    told = found([Sample(NOW, 10, Point(replicas=replicas))], [Heard(NOW, 10)], SeriesName.REQUESTS, by="replica")
    assert (len(told.series), told.left_out) == (20, 10)
    assert {one.id for one in told.series} == {one.session_id for one in replicas[10:]}


def test_resources_are_summed_over_replicas_and_shares_averaged() -> None:
    used = (
        ReplicaResources(session_id=ONE, cpu_cores=1, memory_bytes=100, gpu_percent=80),
        ReplicaResources(session_id=TWO, cpu_cores=2, memory_bytes=300, gpu_percent=20),
    )
    samples = [Sample(NOW, 10, Point(resources=used)), Sample(NOW + TEN, 10, Point(resources=used))]
    names = (SeriesName.CPU, SeriesName.MEMORY, SeriesName.GPU, SeriesName.GPU_MEMORY)
    series = found(samples, [], *names, steps=1, step_s=60).series
    assert [one.values for one in series] == [(3.0,), (400.0,), (50.0,), (None,)], "known also without app-proxies"


def test_the_number_of_replicas_holds_until_it_changes() -> None:
    changes = [ReplicaCount(NOW + TEN, 2, 0), ReplicaCount(NOW + TEN + timedelta(seconds=5), 2, 2)]
    wanted, healthy = found([], [], SeriesName.REPLICAS_WANTED, SeriesName.REPLICAS_HEALTHY, counts=changes).series
    assert (wanted.values, healthy.values) == ((None, 2.0, 2.0), (None, 2.0, 2.0))


@given(st.lists(st.tuples(st.integers(0, 359), st.sampled_from([ONE, TWO]), counts, buckets, counts), max_size=30))
def test_minutes_say_what_their_windows_said(windows: list[tuple[int, SessionId, int, dict[int, int], int]]) -> None:
    stored = [
        StoredWindow(
            SERVICE,
            NOW + number * TEN,
            f"proxy-{row}",
            Point(
                refused={"queue-full": number},
                replicas=(traffic(session, succeeded=ok, latencies=latencies, in_flight=open_),),
            ).encoded(),
        )
        for row, (number, session, ok, latencies, open_) in enumerate(windows)
    ]
    heard = [StoredWindow(NO_SERVICE, NOW + number * TEN, "", "{}") for number in range(360)]
    hours = [
        StoredHour(SERVICE, NOW, hour_of(windows_of(stored)).encoded()),
        StoredHour(NO_SERVICE, NOW, hour_of(windows_of(heard)).encoded()),
    ]
    names = [name for name, kind in SERIES.items() if "service" in kind.by]
    known = samples_of([*stored, *heard], []), samples_of([], hours)
    told = [found(*samples, *names, steps=60, step_s=60) for samples in known]
    assert [one.name for one in told[0].series] == [one.name for one in told[1].series]
    for fine, coarse in zip(told[0].series, told[1].series, strict=True):
        assert coarse.values == pytest.approx(fine.values, abs=1e-5), fine.name


def test_what_cannot_be_read_is_a_gap() -> None:
    assert parsed(Point, '{"queued": "many"}') is None
    assert parsed(Hour, "not json") is None
    assert parsed(Point, '{"of a later version": 1}') == Point()
    samples, heard = samples_of(
        [StoredWindow(SERVICE, NOW, "", "{"), StoredWindow(SERVICE, NOW, "", "{}")], [StoredHour(SERVICE, NOW, "{")]
    )
    assert (len(samples), heard) == (1, [])


def test_intervals_are_whole_steps_and_bounded() -> None:
    hour = interval(None, None, None, NOW + timedelta(seconds=3))
    assert (hour.step_s, hour.since, hour.until) == (30, NOW - timedelta(hours=1), NOW + timedelta(seconds=30))
    assert hour.steps == 121
    week = interval(NOW - timedelta(days=30), None, None, NOW)
    assert (week.step_s, week.since) == (3600, NOW - timedelta(days=7))
    assert interval(NOW - timedelta(minutes=5), None, None, NOW).step_s == 10
    assert interval(NOW - timedelta(hours=3), None, None, NOW).step_s == 60
    with pytest.raises(InvalidRequest, match="multiple of 60"):
        interval(NOW - timedelta(hours=3), None, 10, NOW)
    with pytest.raises(InvalidRequest, match="at most 1500 steps"):
        interval(NOW - timedelta(days=7), None, 60, NOW)
    with pytest.raises(InvalidRequest, match="before `to`"):
        interval(NOW + timedelta(hours=1), None, None, NOW)


def test_every_series_has_a_name_a_unit_and_a_quantile_where_it_is_one() -> None:
    assert set(SERIES) == set(SeriesName)
    assert all(kind.unit and kind.text and "service" in kind.by for kind in SERIES.values())
    for name, share in QUANTILES.items():
        assert name.endswith(f"_p{share * 100:.0f}_s")
    assert set(QUANTILES) == {name for name in SeriesName if name.endswith("_s") and "_p" in name}
