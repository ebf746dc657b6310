"""The pure parts of the proxy benchmark: what it makes of numbers. The loads themselves run in `make bench-proxy`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.proxy import against, callers
from benchmarks.proxy.calls import CALLERS, bodiless, call
from benchmarks.proxy.measures import LoadFailedError
from benchmarks.proxy.proxies import Proxy
from benchmarks.proxy.results import (
    GATES,
    MEASURES,
    OURS,
    Gate,
    as_table,
    doubts,
    judge,
    middle,
    proxies_table,
    ratios,
    records,
    verdicts_table,
)
from benchmarks.proxy.workers import busiest_over_mean

AT_LEAST = Gate("requests/s ÷ nginx", "requests", "nginx", "times-at-least", 0.60, 0.75)
AT_MOST = Gate("CPU per SSE chunk ÷ nginx", "chunk_cpu", "nginx", "times-at-most", 1.3, 1.15)
ABOVE = Gate("added p50 above nginx", "latency_p50", "nginx", "above-at-most", 60, 20)
ALONE = Gate("TTFT p99", "ttft_p99", None, "at-most", 5000, 3000)
some_rounds = st.lists(st.none() | st.floats(0.1, 1e6), max_size=6)


def test_a_failed_round_does_not_move_the_median() -> None:
    assert middle([3.0, None, 1.0, 2.0]) == 2.0
    assert middle([None]) is None
    assert middle([]) is None


def test_ratios_are_of_the_same_round() -> None:
    """A round in which the machine was half as fast halves both numbers, and leaves the ratio alone."""
    assert ratios([100, 50, None, 70], [200, 100, 80, None]) == [0.5, 0.5]
    assert ratios([1.0], [0.0]) == []


@given(ours=some_rounds, theirs=some_rounds, factor=st.floats(0.01, 100))
def test_a_faster_machine_changes_no_ratio(ours: list[float | None], theirs: list[float | None], factor: float) -> None:
    faster = [[None if value is None else value * factor for value in rounds] for rounds in (ours, theirs)]
    assert ratios(*faster) == pytest.approx(ratios(ours, theirs))


@pytest.mark.parametrize(
    ("gate", "ours", "theirs", "met"),
    [
        (AT_LEAST, 75, 100, "goal"),
        (AT_LEAST, 74, 100, "floor"),
        (AT_LEAST, 60, 100, "floor"),
        (AT_LEAST, 59, 100, "missed"),
        (AT_MOST, 1.15, 1.0, "goal"),
        (AT_MOST, 1.3, 1.0, "floor"),
        (AT_MOST, 1.31, 1.0, "missed"),
        (ABOVE, 120, 100, "goal"),
        (ABOVE, 160, 100, "floor"),
        (ABOVE, 161, 100, "missed"),
        (ABOVE, 80, 100, "goal"),
        (ALONE, 3000, None, "goal"),
        (ALONE, 5001, None, "missed"),
    ],
)
def test_floors_and_goals(gate: Gate, ours: float, theirs: float | None, met: str) -> None:
    assert judge(gate, {(gate.measure, OURS): [ours], (gate.measure, "nginx"): [theirs]}).met == met


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.title)
def test_a_missing_peer_is_said_and_not_taken_for_a_success(gate: Gate) -> None:
    verdict = judge(gate, {})
    assert verdict.met == "not measured"
    assert "not measured" in verdicts_table([verdict])


def test_the_spread_of_rounds_is_shown() -> None:
    verdict = judge(AT_LEAST, {("requests", OURS): [70, 90, 80], ("requests", "nginx"): [100, 100, 100]})
    assert (verdict.judged, verdict.least, verdict.most) == (0.8, 0.7, 0.9)
    assert "0.70 … 0.90" in verdicts_table([verdict])


def test_every_gate_names_a_measure_and_a_goal_that_is_no_easier_than_its_floor() -> None:
    known = {measure.name for measure in MEASURES}
    for gate in GATES:
        assert gate.measure in known
        assert gate.goal <= gate.floor if gate.how.endswith("at-most") else gate.goal >= gate.floor


def test_records_hold_each_proxys_median_and_our_ratio_to_it() -> None:
    rows = records({("requests", OURS): [50, 60, 55], ("requests", "nginx"): [100, 100, None]})
    assert rows == [
        {"name": "requests/headrace", "value": 55, "unit": "1/s", "vs": None, "ratio": None},
        {"name": "requests/nginx", "value": 100, "unit": "1/s", "vs": None, "ratio": None},
        {"name": "requests", "value": 55, "unit": "1/s", "vs": "nginx", "ratio": 0.55},
    ]
    json.dumps(rows, allow_nan=False)


def test_records_leave_out_what_was_never_measured() -> None:
    assert records({("requests", "nginx"): [None]}) == []


def test_added_latency_is_over_direct_and_direct_is_shown_whole() -> None:
    shown = proxies_table(
        {("latency_p50", "direct"): [16.0, 20.0], ("latency_p50", "nginx"): [110.0, 120.0]}, ["direct", "nginx"]
    )
    direct, nginx = shown.splitlines()[2:]
    assert "(18)" in direct
    assert "97" in nginx


def test_a_proxy_that_was_not_the_bound_is_named() -> None:
    samples = {
        ("busy", "nginx"): [98.0, 99.0, 40.0],
        ("busy", "haproxy"): [70.0],
        ("busy", OURS): [80.0],
        ("others", OURS): [19.0],
        ("busy", "direct"): [0.0],
    }
    found = doubts(samples, ["direct", "nginx", "haproxy", OURS, "envoy"])
    assert [doubt.partition(":")[0] for doubt in found] == ["haproxy", OURS]
    assert "others used 19 %" in found[1]


@given(st.lists(st.tuples(st.text("ab÷µ", max_size=9), st.text("0123,.", max_size=9)), max_size=5))
def test_tables_are_aligned(rows: list[tuple[str, str]]) -> None:
    lines = as_table(["proxy", "req/s"], rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert len({len(line) for line in lines}) == 1


def test_requests_differ_and_say_their_length() -> None:
    tokens = [f"t{number}" for number in range(CALLERS)]
    sent = [call(number, prefix="/chat", tokens=tokens, events=3) for number in range(50)]
    assert len(set(sent)) == len(sent)
    for request in sent:
        head, _, body = request.partition(b"\r\n\r\n")
        assert b"\0" not in request
        assert f"Content-Length: {len(body)}".encode() in head
        assert b'"stream":true,"max_tokens":3' in body
    assert b"Authorization" not in call(1, prefix="", tokens=())


def test_no_two_requests_of_real_callers_have_the_same_head() -> None:
    tokens = [f"t{number}" for number in range(callers.TOKENS)]
    sent = [callers.request(number, prefix="/chat", tokens=tokens) for number in range(callers.HOW_MANY)]
    parted = [request.partition(b"\r\n\r\n") for request in sent]
    assert len({head for head, _, _ in parted}) == len(sent)
    for head, _, body in parted:
        assert f"\r\nContent-Length: {len(body)}".encode() in head
        assert b"\0" not in head + body
    lines = Counter(line for head, _, _ in parted for line in head.split(b"\r\n"))
    assert sum(times == 1 for times in lines.values()) > len(sent), "each has a line that no other has"
    assert len({line for line in lines if line.startswith(b"Authorization: Bearer t")}) == callers.TOKENS
    assert sent[7] == callers.request(7, prefix="/chat", tokens=tokens), "the same in each run"
    assert b"Authorization" not in callers.request(7, prefix="", tokens=())


def test_a_request_without_a_body_tells_of_none() -> None:
    request = bodiless(7, prefix="/chat", tokens=["t"])
    assert request.startswith(b"GET /chat/v1/models?call=7 HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n")
    assert b"Content-" not in request
    assert b"Authorization: Bearer t\r\n" in request


def test_the_busiest_worker_bounds_what_several_give() -> None:
    assert busiest_over_mean({1: 0.1, 2: 3.0, 3: 1.0}) == 1.5
    assert busiest_over_mean({1: 0.1, 2: 2.0, 3: 2.0}) == 1.0
    with pytest.raises(LoadFailedError):
        busiest_over_mean({1: 2.0})


def test_two_builds_are_measured_in_turns_so_that_both_come_first_and_last() -> None:
    before, now = (Proxy(name, port, Path(name)) for name, port in (("before", 1), ("now", 2)))
    order: list[str] = []

    def measure(proxy: Proxy) -> dict[str, float]:
        order.append(proxy.name)
        return {"rate": 100.0 * proxy.port + len(order), "cpu": 10.0 / proxy.port}

    found = against.go_round(measure, before, now, names=("rate", "cpu"))
    assert order == ["before", "now", "now", "before"]
    assert found == ((102.5, 10.0), (202.5, 5.0))


def test_what_two_builds_came_to_is_told_with_its_spread_and_as_ratios_round_by_round() -> None:
    rounds = [(1000.0, 1100.0), (2000.0, 1900.0), (1500.0, 1500.0)]
    assert against.report("alike: requests/s", rounds) == (
        "alike: requests/s: before 1,500.0 (1,000.0 … 2,000.0), now 1,500.0 (1,100.0 … 1,900.0), now ÷ before 1.000 (0.950 … 1.100)"
    )
