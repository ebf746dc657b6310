"""Which faults of links a chaos run draws."""

from __future__ import annotations

from collections import Counter

from tests.chaos.network.schedule import HOSTS, KINDS, drawn

ROUNDS = [drawn(7, number) for number in range(1, 501)]


def test_a_seed_says_everything_and_each_round_is_drawn_by_itself() -> None:
    assert drawn(7, 17) == ROUNDS[16]
    assert drawn(8, 17) != ROUNDS[16]
    assert drawn(7, 17).chance(7).random() == ROUNDS[16].chance(7).random()


def test_every_link_meets_every_kind_and_no_host_two_at_once() -> None:
    met = Counter((fault.host, fault.kind) for one in ROUNDS for fault in one.faults)
    assert met.keys() == {(host, kind) for host in HOSTS for kind in KINDS} - {("callers", "paused")}
    assert all(len({fault.host for fault in one.faults}) == len(one.faults) for one in ROUNDS)
    assert 100 < sum(len(one.faults) == 2 for one in ROUNDS) < 200


def test_the_changes_happen_during_the_faults() -> None:
    changed = [one for one in ROUNDS if one.change]
    assert 150 < len(changed) < 250
    assert all(0 <= one.change_after_s <= fault.seconds for one in changed for fault in one.faults)
    assert all(0.05 <= fault.loss <= 0.3 for one in ROUNDS for fault in one.faults if fault.kind == "loss")
