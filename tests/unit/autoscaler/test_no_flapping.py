"""A scale-in never happens within the cooldown of a scale-out, nor while one wants out: two rules, any series."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from headrace.autoscaler.domain.observation import AveragingWindow
from headrace.autoscaler.domain.policy import decide
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.rule import Comparator
from tests.support.factories.rules import NOW, ScalingInputBuilder, rule, spec


@given(
    series=st.lists(st.sampled_from([0, 10, 50, 85, 100]), min_size=1, max_size=30),
    out_cooldown=st.integers(0, 120),
    in_cooldown=st.integers(0, 120),
    most=st.integers(1, 6),
)
def test_scale_in_waits_for_scale_out(series: list[int], out_cooldown: int, in_cooldown: int, most: int) -> None:
    out = rule(1, spec(threshold=80, step=1, cooldown_s=out_cooldown, max_replicas=most))
    inward = rule(
        2, spec(comparator=Comparator.LESS_THAN, threshold=90, step=-1, cooldown_s=in_cooldown, max_replicas=9)
    )
    wanted = 1
    fired: dict[RuleId, datetime] = {}
    for tick, value in enumerate(series):
        now = NOW + timedelta(seconds=10 * tick)
        world = ScalingInputBuilder([out, inward], wanted=wanted, fired=dict(fired)).said_at(now, value)
        fire = decide(world.subject(), AveragingWindow(), now).fire
        if fire is None:
            continue
        if fire.rule.spec.step < 0:
            assert value <= 80
            last = fired.get(RuleId(out.rule_id))
            assert last is None or now - last >= timedelta(seconds=out_cooldown)
        fired[RuleId(fire.rule.rule_id)] = now
        wanted = fire.wanted
