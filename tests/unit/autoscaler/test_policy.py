from __future__ import annotations

import operator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.autoscaler.domain.observation import AveragingWindow
from headrace.autoscaler.domain.policy import RuleEvaluation, Verdict, decide
from headrace.autoscaler.domain.window import WHOLE_SERVICE, Origin
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec
from tests.support.factories.rules import NOW, ScalingInputBuilder, kernel, replica, rule, spec

AVERAGING = AveragingWindow()
HOLDS = {
    Comparator.LESS_THAN: operator.lt,
    Comparator.LESS_THAN_OR_EQUAL: operator.le,
    Comparator.GREATER_THAN: operator.gt,
    Comparator.GREATER_THAN_OR_EQUAL: operator.ge,
}


def verdict(world: ScalingInputBuilder) -> Verdict:
    return decide(world.subject(), AVERAGING, NOW)


def only(world: ScalingInputBuilder) -> RuleEvaluation:
    (evaluation,) = verdict(world).evaluations
    return evaluation


@pytest.mark.parametrize(
    ("comparator", "below", "equal", "above"),
    [
        (Comparator.LESS_THAN, True, False, False),
        (Comparator.LESS_THAN_OR_EQUAL, True, True, False),
        (Comparator.GREATER_THAN, False, False, True),
        (Comparator.GREATER_THAN_OR_EQUAL, False, True, True),
    ],
)
def test_comparators(comparator: Comparator, *, below: bool, equal: bool, above: bool) -> None:
    for value, fires in ((49.9, below), (50, equal), (50.1, above)):
        evaluation = only(
            ScalingInputBuilder([rule(1, spec(comparator=comparator, threshold=50))]).kernels_say("cpu_util", value)
        )
        assert evaluation.would_fire is fires, (comparator, value)
        assert evaluation.observed == value
        assert evaluation.reason.code == ("rule-fired" if fires else "condition-not-met")


def test_the_reason_of_a_firing_has_the_numbers() -> None:
    evaluation = only(
        ScalingInputBuilder([rule(1, spec())], wanted=2, replicas=[replica(1), replica(2)]).kernels_say(
            "cpu_util", 90, 95
        )
    )
    assert evaluation.wanted == 3
    assert evaluation.reason.text == "cpu_util 92.5 > 80 (mean over 2 of 2 live kernels): 2 → 3 replicas"


@pytest.mark.parametrize(
    ("step", "wanted", "code"),
    [
        (1, 9, "rule-fired"),
        (1, 10, "above-maximum"),
        (3, 8, "above-maximum"),
        (-1, 3, "rule-fired"),
        (-1, 2, "below-minimum"),
        (-5, 4, "below-minimum"),
    ],
)
def test_a_result_outside_of_the_bounds_does_not_fire(step: int, wanted: int, code: str) -> None:
    evaluation = only(
        ScalingInputBuilder([rule(1, spec(step=step, min_replicas=2, max_replicas=10))], wanted=wanted).kernels_say(
            "cpu_util", 90
        )
    )
    assert evaluation.would_fire is (code == "rule-fired")
    assert evaluation.reason.code == code
    assert evaluation.cooldown_until is None


def test_a_metric_that_nobody_reports_does_not_fire_and_says_so() -> None:
    evaluation = only(ScalingInputBuilder([rule(1, spec(comparator=Comparator.LESS_THAN))]))
    assert (evaluation.would_fire, evaluation.observed, evaluation.reason.code) == (False, None, "metric-missing")
    assert "none of 1 live kernels reported cpu_util (kernel) within 10 s" in evaluation.reason.text


def test_without_an_app_proxys_word_of_the_service_the_rule_says_who_is_missing() -> None:
    of_the_service = spec(source=MetricSource.INFERENCE_FRAMEWORK, metric="headrace_queued")
    evaluation = only(ScalingInputBuilder([rule(1, of_the_service)], wanted=0, replicas=()))
    assert (evaluation.would_fire, evaluation.reason.code) == (False, "metric-missing")
    assert evaluation.reason.text == "no app-proxy reported headrace_queued within 10 s"


@pytest.mark.parametrize(("proxies", "who"), [(("a",), "1 app-proxy"), (("a", "b"), "2 app-proxies")])
def test_a_firing_by_app_proxies_word_of_the_service_says_that_it_is_of_the_whole(
    proxies: tuple[str, ...], who: str
) -> None:
    world = ScalingInputBuilder(
        [rule(1, spec(source=MetricSource.INFERENCE_FRAMEWORK, metric="headrace_queued", threshold=5))]
    )
    for proxy in proxies:
        world.said(Origin.PROXY, WHOLE_SERVICE, "headrace_queued", 6, by=proxy)
    text = f"headrace_queued {6 * len(proxies)} > 5 (of the whole service, from {who}): 1 → 2 replicas"
    assert only(world).reason.text == text


def test_of_two_rules_with_the_same_step_the_second_says_that_the_first_comes_first() -> None:
    evaluations = verdict(
        ScalingInputBuilder([rule(1, spec()), rule(2, spec(threshold=70))]).kernels_say("cpu_util", 90)
    ).evaluations
    assert [evaluation.reason.code for evaluation in evaluations] == ["rule-fired", "outvoted"]
    assert evaluations[1].reason.text.endswith(f"but rule {evaluations[0].rule.rule_id} with the same step comes first")


def test_an_old_metric_does_not_fire_and_says_how_old() -> None:
    evaluation = only(ScalingInputBuilder([rule(1, spec())]).said(Origin.KERNEL, kernel(1), "cpu_util", 99, ago_s=12))
    assert (evaluation.would_fire, evaluation.reason.code) == (False, "metric-missing")
    assert evaluation.reason.text.endswith("last heard of 12 s ago")


def test_without_live_replicas_nothing_fires() -> None:
    evaluation = only(
        ScalingInputBuilder([rule(1, spec(comparator=Comparator.LESS_THAN, step=1))], replicas=[]).kernels_say(
            "cpu_util", 1
        )
    )
    assert (evaluation.would_fire, evaluation.reason.code) == (False, "no-live-replicas")


def test_cooldown_runs_from_the_firing_and_ends() -> None:
    one = rule(1, spec(cooldown_s=60))
    for ago_s, fires in ((0, False), (59, False), (60, True), (61, True)):
        fired_at = NOW - timedelta(seconds=ago_s)
        evaluation = only(ScalingInputBuilder([one], fired={one.rule_id: fired_at}).kernels_say("cpu_util", 90))
        assert evaluation.would_fire is fires, ago_s
        assert evaluation.cooldown_until == (None if fires else fired_at + timedelta(seconds=60))
        assert evaluation.reason.code == ("rule-fired" if fires else "cooling-down")


def test_cooldown_is_each_rules_own() -> None:
    one, two = rule(1, spec()), rule(2, spec(threshold=70))
    seen = verdict(ScalingInputBuilder([one, two], fired={one.rule_id: NOW}).kernels_say("cpu_util", 90))
    assert seen.fire is not None
    assert seen.fire.rule == two


def test_disabled_rules_and_inactive_services_do_not_fire() -> None:
    assert (
        only(ScalingInputBuilder([rule(1, spec(enabled=False))]).kernels_say("cpu_util", 90)).reason.code
        == "rule-disabled"
    )
    evaluation = only(ScalingInputBuilder([rule(1, spec())], active=False).kernels_say("cpu_util", 90))
    assert (evaluation.would_fire, evaluation.reason.code, evaluation.observed) == (False, "service-inactive", 90)


def test_the_largest_scale_out_wins_over_smaller_ones_and_over_scale_in() -> None:
    rules = [
        rule(1, spec(step=-1, comparator=Comparator.GREATER_THAN, threshold=0)),
        rule(2, spec(step=1)),
        rule(3, spec(step=4)),
        rule(4, spec(step=2)),
    ]
    seen = verdict(ScalingInputBuilder(rules, wanted=5).kernels_say("cpu_util", 90))
    assert seen.fire is not None
    assert seen.fire.rule == rules[2]
    assert [evaluation.reason.code for evaluation in seen.evaluations] == [
        "outvoted",
        "outvoted",
        "rule-fired",
        "outvoted",
    ]
    assert f"rule {rules[2].rule_id} has the larger step +4" in seen.evaluations[0].reason.text


def test_of_scale_ins_the_mildest_wins_and_of_equals_the_oldest_rule() -> None:
    low = {"comparator": Comparator.LESS_THAN, "threshold": 50}
    rules = [rule(3, spec(step=-1, **low)), rule(1, spec(step=-3, **low)), rule(2, spec(step=-1, **low))]
    seen = verdict(ScalingInputBuilder(rules, wanted=9).kernels_say("cpu_util", 5))
    assert seen.fire is not None
    assert seen.fire.rule == rules[2]


def test_while_a_scale_out_cools_down_a_scale_in_waits_and_says_for_which_rule() -> None:
    out, back = rule(1, spec()), rule(2, spec(step=-1, threshold=0))
    seen = verdict(ScalingInputBuilder([out, back], wanted=5, fired={out.rule_id: NOW}).kernels_say("cpu_util", 90))
    assert seen.fire is None
    assert [evaluation.reason.code for evaluation in seen.evaluations] == ["cooling-down", "held-by-scale-out"]
    assert f"but the scale-out rule {out.rule_id} holds it back: cpu_util 90 > 80" in seen.evaluations[1].reason.text


def test_a_rule_at_its_bound_does_not_stand_in_the_way_of_another() -> None:
    rules = [rule(1, spec(step=5, max_replicas=3)), rule(2, spec(step=1))]
    seen = verdict(ScalingInputBuilder(rules, wanted=2).kernels_say("cpu_util", 90))
    assert seen.fire is not None
    assert seen.fire.rule == rules[1]
    assert seen.evaluations[0].reason.code == "above-maximum"


numbers = st.one_of(st.sampled_from([0.0, 26.8, 50.0]), st.floats(-1e9, 1e9))
steps = st.integers(-20, 20).filter(bool)


@st.composite
def specs(draw: st.DrawFn) -> RuleSpec:
    low, high = sorted(draw(st.tuples(st.integers(0, 12), st.integers(0, 12))))
    return spec(
        source=draw(st.sampled_from(MetricSource)),
        metric=draw(st.sampled_from(["a", "b", "c"])),
        comparator=draw(st.sampled_from(Comparator)),
        threshold=draw(numbers),
        step=draw(steps),
        min_replicas=low,
        max_replicas=high,
        cooldown_s=draw(st.sampled_from([0, 1, 60, 3600])),
        enabled=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn) -> ScalingInputBuilder:
    rules = [rule(n, one) for n, one in enumerate(draw(st.lists(specs(), min_size=1, max_size=5)), start=1)]
    live = draw(st.integers(0, 3))
    world = ScalingInputBuilder(
        rules,
        wanted=draw(st.integers(0, 12)),
        replicas=[replica(n) for n in range(1, live + 1)],
        active=draw(st.booleans()),
        fired={
            r.rule_id: NOW - timedelta(seconds=draw(st.sampled_from([0, 0.5, 59, 61, 4000])))
            for r in rules
            if draw(st.booleans())
        },
    )
    for number in range(1, 5):  # replica 4 is never live
        for origin in (Origin.KERNEL, Origin.ENGINE):
            for metric in draw(st.sets(st.sampled_from(["a", "b"]))):
                world.said(origin, kernel(number), metric, draw(numbers), ago_s=draw(st.sampled_from([1, 30])))
    return world


@given(worlds())
def test_what_fires_may_fire(world: ScalingInputBuilder) -> None:
    seen = verdict(world)
    assert len([evaluation for evaluation in seen.evaluations if evaluation.would_fire]) <= 1
    if seen.fire is None:
        return
    evaluation, said = seen.fire, seen.fire.rule.spec
    assert evaluation in seen.evaluations
    assert world.active
    assert said.enabled
    assert evaluation.observed is not None
    assert HOLDS[said.comparator](evaluation.observed, said.threshold)
    assert evaluation.wanted == world.wanted + said.step
    assert said.min_replicas <= evaluation.wanted <= said.max_replicas
    fired = world.fired.get(evaluation.rule.rule_id)
    assert fired is None or fired + timedelta(seconds=said.cooldown_s) <= NOW
    assert (evaluation.wanted > world.wanted) == (said.step > 0)


@given(worlds())
def test_what_may_fire_fires_unless_a_larger_step_does(world: ScalingInputBuilder) -> None:
    """Completeness: an independent reading of product.md, rule by rule."""
    seen = verdict(world)
    for evaluation in seen.evaluations:
        said = evaluation.rule.spec
        fired = world.fired.get(evaluation.rule.rule_id)
        may = (
            world.active
            and said.enabled
            and evaluation.observed is not None
            and HOLDS[said.comparator](evaluation.observed, said.threshold)
            and said.min_replicas <= world.wanted + said.step <= said.max_replicas
            and (fired is None or fired + timedelta(seconds=said.cooldown_s) <= NOW)
        )
        if may:
            assert seen.fire is not None
            assert seen.fire.rule.spec.step >= said.step
            assert evaluation.reason.code in {"rule-fired", "outvoted"}
        else:
            assert evaluation.reason.code not in {"rule-fired", "outvoted"}


@given(worlds(), st.randoms())
def test_the_order_of_the_rules_does_not_matter(world: ScalingInputBuilder, chance: object) -> None:
    before = verdict(world).fire
    world.rules = sorted(world.rules, key=lambda _: chance.random())  # type: ignore[attr-defined]
    after = verdict(world).fire
    assert (before and before.rule) == (after and after.rule)


@given(worlds())
def test_every_look_explains_itself(world: ScalingInputBuilder) -> None:
    for evaluation in verdict(world).evaluations:
        assert evaluation.reason.text
        assert evaluation.would_fire == (evaluation.reason.code == "rule-fired")


@given(
    value=numbers,
    threshold=numbers,
    step=st.integers(-20, -1),
    wanted=st.integers(0, 12),
    comparator=st.sampled_from([Comparator.LESS_THAN, Comparator.LESS_THAN_OR_EQUAL]),
)
@example(
    value=26.8, threshold=50, step=-1, wanted=3, comparator=Comparator.LESS_THAN
)  # Backend.AI's report: it scaled out
def test_a_less_than_rule_with_a_negative_step_never_scales_out(
    value: float, threshold: float, step: int, wanted: int, comparator: Comparator
) -> None:
    one = spec(comparator=comparator, threshold=threshold, step=step, min_replicas=0, max_replicas=12)
    fire = verdict(ScalingInputBuilder([rule(1, one)], wanted=wanted).kernels_say("cpu_util", value)).fire
    assert (fire is not None) == (HOLDS[comparator](value, threshold) and wanted + step >= 0)
    assert fire is None or fire.wanted < wanted


@given(
    step=steps, wanted=st.integers(0, 30), comparator=st.sampled_from(Comparator), cooldown_s=st.sampled_from([0, 60])
)
def test_a_rule_that_holds_for_ever_stops_inside_its_bounds(
    step: int, wanted: int, comparator: Comparator, cooldown_s: int
) -> None:
    one = rule(
        1, spec(comparator=comparator, threshold=5, step=step, min_replicas=2, max_replicas=9, cooldown_s=cooldown_s)
    )
    value = 4.0 if "LESS" in comparator else 6.0
    fired: dict[RuleId, object] = {}
    seen = [wanted]
    for second in range(0, 60 * 40, 60):
        world = ScalingInputBuilder([one], wanted=seen[-1], fired=fired).kernels_say("cpu_util", value)  # type: ignore[arg-type]
        fire = decide(world.subject(), AVERAGING, NOW).fire
        if fire is None:
            break
        seen.append(fire.wanted)
        fired = {one.rule_id: NOW - timedelta(seconds=60 + second)}
    assert all(2 <= n <= 9 for n in seen[1:])
    assert len(seen) < 12


def test_an_open_request_holds_everything_back() -> None:
    blocked = Reason(code="awaiting-answer", text="…")
    subject = replace(ScalingInputBuilder([rule(1, spec())]).kernels_say("cpu_util", 90).subject(), blocked=blocked)
    seen = decide(subject, AVERAGING, NOW)
    assert seen.fire is None
    assert seen.evaluations[0].reason == blocked
