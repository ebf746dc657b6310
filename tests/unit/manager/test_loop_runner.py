"""Readiness of a manager's loops."""

from __future__ import annotations

from datetime import timedelta

from headrace.common.runtime.loop import Loop
from headrace.manager.loops.runner import STUCK_S, stuck


async def _nothing() -> None:
    """A pass that does nothing."""


def _loop(name: str, every_s: float) -> Loop:
    return Loop(name, _nothing, every=timedelta(seconds=every_s))


def test_readiness_names_the_loops_without_a_good_pass_but_not_those_that_it_does_not_need() -> None:
    loops = plans, _ = _loop("plans", 2), _loop("snapshots", 300)
    assert stuck(loops, 0.0) == "no good pass lately: plans"
    plans.last_success = 0.0
    assert stuck(loops, STUCK_S + 2) is None
    assert stuck(loops, STUCK_S + 3) == "no good pass lately: plans"


def test_a_loop_with_few_passes_is_ready_between_them() -> None:
    """As all loops of a manager whose `reconcile_every` is an hour."""
    seldom = _loop("plans", 3600)
    seldom.last_success = 0.0
    assert stuck([seldom], 3600) is None
    assert stuck([seldom], 3600 + STUCK_S + 1) == "no good pass lately: plans"
