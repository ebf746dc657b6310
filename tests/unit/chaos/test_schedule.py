"""Which faults a chaos run draws."""

from __future__ import annotations

from itertools import islice

from tests.chaos.stack.faults import KINDS, made
from tests.chaos.stack.schedule import Step, steps


def drawn(seed: int, number: int = 200) -> list[Step]:
    return list(islice(steps(seed, list(KINDS)), number))


def test_a_seed_says_everything() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    for step in drawn(7, 60):
        one, other = ([made(kind, chance) for kind in step.kinds] for chance in (step.chance(7), step.chance(7)))
        assert [(fault.target, lasts_s) for fault, lasts_s in one] == [
            (fault.target, lasts_s) for fault, lasts_s in other
        ]


def test_every_kind_comes_once_before_any_comes_again() -> None:
    first = {step.kinds[0] for step in drawn(3, len(KINDS))}
    assert first == set(KINDS)


def test_some_come_together_and_some_before_all_is_well_but_never_two_that_end_replicas() -> None:
    wanted = drawn(5, 1000)
    assert 150 < sum(len(step.kinds) == 2 for step in wanted) < 350
    assert 200 < sum(step.at_once for step in wanted) < 500
    group: list[str] = []
    for step in wanted:
        group = [*group, *step.kinds] if step.at_once else list(step.kinds)
        assert sum(kind in {"kill-replica", "stop-replica", "kill-shim"} for kind in group) <= 1
