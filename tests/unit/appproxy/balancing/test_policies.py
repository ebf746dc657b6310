"""Which replica gets a request: the load stays even, weights are kept exactly, and nothing starts anew with a new table."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from math import gcd

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.balancing.affinity import HashRing, hash_key
from headrace.appproxy.dataplane.balancing.policies import (
    SmoothWeightedRoundRobin,
    Weights,
    least_in_flight,
    slow_start_share,
)


@dataclass
class One:
    key: str
    weight: int = 100
    in_flight: int = 0
    share: float = 1.0


def fleet(*weights: int) -> list[One]:
    return [One(f"r{n}", weight) for n, weight in enumerate(weights)]


weights = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@given(weights, st.integers(0, 1000))
def test_in_turn_each_gets_exactly_its_weight(given_weights: list[int], seed: int) -> None:
    ones, turn = fleet(*given_weights), SmoothWeightedRoundRobin()
    for _ in range(seed % 7):  # wherever the round begins
        turn.pick(ones)
    divisor = gcd(*given_weights)
    rounds = sum(given_weights) // divisor
    got = Counter(turn.pick(ones).key for _ in range(3 * rounds))
    assert got == {one.key: 3 * one.weight // divisor for one in ones}


def test_a_new_table_starts_no_new_round() -> None:
    """Splits like 27 to 10 came from rounds that began anew with each heartbeat (gpustack 5682)."""
    turn, got = SmoothWeightedRoundRobin(), Counter[str]()
    for _ in range(40):
        ones = fleet(1, 1, 1)  # a table an update
        turn.keep_only({one.key: one for one in ones})
        got.update(turn.pick(ones).key for _ in range(1))
    assert max(got.values()) - min(got.values()) <= 1


@given(weights, st.integers())
def test_least_in_flight_takes_no_replica_beyond_its_part(given_weights: list[int], seed: int) -> None:
    chance, ones = random.Random(seed).random, fleet(*given_weights)
    for _ in range(200):
        least_in_flight(ones, chance).in_flight += 1
    total = sum(given_weights)
    assert sum(one.in_flight for one in ones) == 200
    if len(ones) == 2:
        for one in ones:
            assert abs(one.in_flight - 200 * one.weight / total) <= 20 + 200 / total


def test_idle_replicas_are_drawn_by_weight() -> None:
    chance, ones = random.Random(7).random, fleet(10, 90)
    got = Counter(least_in_flight(ones, chance).key for _ in range(10_000))
    assert 900 < got["r0"] < 1100
    many = fleet(10, 30, 60)
    got = Counter(least_in_flight(many, chance).key for _ in range(10_000))
    assert 900 < got["r0"] < 1100
    assert 2800 < got["r1"] < 3200


@given(st.floats(0, 100), st.floats(0.1, 60))
def test_a_fresh_replica_grows_from_a_tenth_to_the_whole(age_s: float, slow_start_s: float) -> None:
    share = slow_start_share(age_s, slow_start_s)
    assert 0.1 <= share <= 1.0
    assert slow_start_share(age_s + 1, slow_start_s) >= share
    assert slow_start_share(slow_start_s, slow_start_s) == 1.0


KEYS = [hash_key(f"session {n}".encode()) for n in range(2000)]


@given(st.integers(2, 8), st.data())
def test_only_the_keys_of_a_replica_that_leaves_move(number: int, data: st.DataObject) -> None:
    ones = fleet(*[100] * number)
    gone = data.draw(st.sampled_from(ones))
    before, after = HashRing(ones), HashRing([one for one in ones if one is not gone])
    left = [one for one in ones if one is not gone]
    for key in KEYS[:300]:
        was = before.pick(key, ones, 1e9)
        assert was is gone or after.pick(key, left, 1e9) is was


def test_the_ring_is_even_by_weight_and_its_load_is_bounded() -> None:
    ones = fleet(100, 100, 200)
    ring = HashRing(ones)
    got = Counter(ring.pick(key, ones, 1e9).key for key in KEYS)
    assert 350 < got["r0"] < 650
    assert 850 < got["r2"] < 1150
    for _ in range(400):  # one hot key
        ring.pick(KEYS[0], ones, 1.25).in_flight += 1
    assert [one.in_flight for one in ones] <= [126, 126, 252]
    assert ring.pick(KEYS[0], ones, 1.25).in_flight <= 252


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 2**64 - 1))
def test_the_ring_always_finds_one_of_the_candidates(loads: list[int], key: int) -> None:
    ones = fleet(*[100] * len(loads))
    for one, load in zip(ones, loads, strict=True):
        one.in_flight = load
    some = ones[: max(1, len(ones) // 2)]
    assert HashRing(ones).pick(key, some, 1.0) in some


@given(weights, st.integers())
def test_two_different_replicas_are_drawn_for_as_long_as_their_weights_hold(
    given_weights: list[int], seed: int
) -> None:
    ones = fleet(*given_weights, 1)
    made = Weights(ones)
    at, other = made.draw_two(random.Random(seed).random)
    assert at != other
    first, second = ones[at], ones[other]
    chosen = second if made.prefers_other(at, first.in_flight, other, second.in_flight) else first
    assert chosen is least_in_flight(ones, random.Random(seed).random)
