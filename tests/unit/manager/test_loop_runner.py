"""Readiness of a manager's loops."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.common.runtime.loop import Loop
from headrace.manager.loops.runner import NOT_NEEDED, STUCK_S, check_periods, stuck


async def _nothing() -> None:
    """A pass that does nothing."""


def _loop(name: str, every_s: float) -> Loop:
    return Loop(name, _nothing, every=timedelta(seconds=every_s))


def test_a_loop_whose_passes_are_too_seldom_for_readiness_is_refused() -> None:
    """A manager with one would be ready for a minute after each of its passes only."""
    with pytest.raises(ValueError, match="that readiness counts have a pass within 60 s: late"):
        check_periods([_loop("late", STUCK_S), _loop("often", 2)])
    check_periods([_loop("often", 2), *(_loop(name, STUCK_S) for name in NOT_NEEDED)])


def test_readiness_names_the_loops_without_a_good_pass_but_not_those_that_it_does_not_need() -> None:
    loops = plans, _ = _loop("plans", 2), _loop("snapshots", 300)
    assert stuck(loops, 0.0) == "no good pass lately: plans"
    plans.last_success = 0.0
    assert stuck(loops, STUCK_S) is None
    assert stuck(loops, STUCK_S + 1) == "no good pass lately: plans"
