"""Evaluation of the scaling rules of one service: which rule fires, and the reason why each other one does not.

A rule fires when it is enabled, its service is active, its metric is reported, the comparison holds, its cooldown is
over and the result stays within its own [min, max]. Of several that could fire, the one with the largest step is taken:
the largest scale-out first, and a scale-in only when no rule would scale out, the smallest first; equal steps by rule
id, oldest first. A scale-in is also blocked during the cooldown of a scale-out, and while a scale-out rule is at its
maximum: capacity that was just added is not removed before it could help. So the number of wanted replicas changes at
most once per evaluation, and the reasons of the other rules name the rule that went first.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from headrace.autoscaler.domain.observation import AveragingWindow, LiveTargets, Observation, observe
from headrace.autoscaler.domain.window import Window
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.messages.metrics import SERVICE_METRICS
from headrace.common.contracts.messages.rules import Rule, RuleTable
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec

_HOLDS: Final[Mapping[Comparator, tuple[str, Callable[[float, float], bool]]]] = {
    Comparator.LESS_THAN: ("<", operator.lt),
    Comparator.LESS_THAN_OR_EQUAL: ("≤", operator.le),
    Comparator.GREATER_THAN: (">", operator.gt),
    Comparator.GREATER_THAN_OR_EQUAL: ("≥", operator.ge),
}


@dataclass(frozen=True, slots=True)
class RuleEvaluation:
    """Evaluation of one rule: `would_fire` unless another rule goes first, to `wanted` replicas.

    `reason` says why, or why not.
    """

    rule: Rule
    observed: float | None
    would_fire: bool
    wanted: int
    reason: Reason
    cooldown_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Evaluations of all rules of a table, in its order, and the one to fire if any (one of them)."""

    evaluations: tuple[RuleEvaluation, ...]
    fire: RuleEvaluation | None


@dataclass(frozen=True, slots=True)
class ScalingInput:
    """Input of an evaluation: a service's rules, live targets, samples, and when each rule last fired (`fired`).

    `wanted` is the newest known number of wanted replicas: the table's, or one that the manager answered later.
    """

    table: RuleTable
    live: LiveTargets
    wanted: int
    window: Window
    fired: Mapping[RuleId, datetime]
    blocked: Reason | None = None
    """Why nothing may fire now, whatever the rules say (an earlier request's answer is awaited)."""


def decide(subject: ScalingInput, averaging: AveragingWindow, now: datetime) -> Verdict:
    """Evaluate each rule of the service, and choose at most one to fire."""
    observations: dict[tuple[MetricSource, str], Observation] = {}
    evaluations = []
    for rule in subject.table.rules:
        key = (rule.spec.source, rule.spec.metric)
        if key not in observations:
            observations[key] = observe(*key, subject.live, subject.window, averaging, now)
        evaluations.append(_evaluate_rule(rule, observations[key], subject, averaging, now))
    out = next((evaluation for evaluation in evaluations if _blocks_scale_in(evaluation)), None)
    if out is not None and not any(
        evaluation.would_fire and evaluation.rule.spec.step > 0 for evaluation in evaluations
    ):
        evaluations = [_held_by_scale_out(evaluation, out) for evaluation in evaluations]
    candidates = [evaluation for evaluation in evaluations if evaluation.would_fire]
    if not candidates:
        return Verdict(evaluations=tuple(evaluations), fire=None)
    first = min(candidates, key=lambda candidate: (-candidate.rule.spec.step, candidate.rule.rule_id))
    return Verdict(
        evaluations=tuple(one if one is first else _outvoted_by(one, first) for one in evaluations), fire=first
    )


def cooldown_end(spec: RuleSpec, fired_at: datetime | None) -> datetime | None:
    """Return when the cooldown of a rule that fired at `fired_at` ends; None when it never fired."""
    return None if fired_at is None else fired_at + timedelta(seconds=spec.cooldown_s)


def _evaluate_rule(
    rule: Rule, observation: Observation, subject: ScalingInput, averaging: AveragingWindow, now: datetime
) -> RuleEvaluation:
    until = cooldown_end(rule.spec, subject.fired.get(rule.rule_id))
    cooling = until if until is not None and until > now else None
    wanted = subject.wanted + rule.spec.step
    why_not = _blocking_reason(rule.spec, observation, subject, averaging, cooling, now)
    reason = why_not or Reason.of(
        ScalingReason.RULE_FIRED, f"{_comparison(rule.spec, observation)}: {subject.wanted} → {wanted} replicas"
    )
    return RuleEvaluation(
        rule=rule,
        observed=observation.value,
        would_fire=why_not is None,
        wanted=wanted,
        reason=reason,
        cooldown_until=cooling,
    )


def _blocking_reason(
    spec: RuleSpec,
    observation: Observation,
    subject: ScalingInput,
    averaging: AveragingWindow,
    cooling: datetime | None,
    now: datetime,
) -> Reason | None:
    """Return the first reason that keeps the rule from firing; None if nothing does."""
    if not spec.enabled:
        return Reason.of(ScalingReason.RULE_DISABLED, "the rule is disabled")
    if not subject.table.active:
        return Reason.of(ScalingReason.SERVICE_INACTIVE, "the service is stopped or being deleted")
    if observation.value is None:
        return _missing_metric(spec, observation, subject.window, averaging, now)
    if not _HOLDS[spec.comparator][1](observation.value, spec.threshold):
        return Reason.of(ScalingReason.CONDITION_NOT_MET, f"not the case: {_comparison(spec, observation)}")
    if cooling is not None:
        left = (cooling - now).total_seconds()
        text = f"{_comparison(spec, observation)}, but it fired {spec.cooldown_s - left:.0f} s ago; cooldown for another {left:.0f} s"
        return Reason.of(ScalingReason.COOLING_DOWN, text)
    return _out_of_bounds(spec, observation, subject.wanted) or subject.blocked


def _out_of_bounds(spec: RuleSpec, observation: Observation, wanted: int) -> Reason | None:
    result = wanted + spec.step
    if spec.min_replicas <= result <= spec.max_replicas:
        return None
    over = result > spec.max_replicas
    code, bound = (
        (ScalingReason.ABOVE_MAXIMUM, f"maximum {spec.max_replicas}")
        if over
        else (ScalingReason.BELOW_MINIMUM, f"minimum {spec.min_replicas}")
    )
    text = f"{_comparison(spec, observation)}, but {wanted} {spec.step:+d} = {result} replicas would pass the {bound}"
    return Reason.of(code, text)


def _missing_metric(
    spec: RuleSpec, observation: Observation, window: Window, averaging: AveragingWindow, now: datetime
) -> Reason:
    what = "kernels" if spec.source is MetricSource.KERNEL else "replicas"
    bound = f"within {averaging.freshness.total_seconds():g} s"
    last = window.newest_ms(spec.metric)
    ago = "" if last is None else f"; last heard of {now.timestamp() - last / 1000:.0f} s ago"
    if spec.metric in SERVICE_METRICS and spec.source is not MetricSource.KERNEL:
        return Reason.of(ScalingReason.METRIC_MISSING, f"no app-proxy reported {spec.metric} {bound}{ago}")
    if not observation.living:
        return Reason.of(ScalingReason.NO_LIVE_REPLICAS, f"no live {what}, so nobody reports {spec.metric}")
    text = f"none of {observation.living} live {what} reported {spec.metric} ({spec.source}) {bound}{ago}"
    return Reason.of(ScalingReason.METRIC_MISSING, text)


def _blocks_scale_in(evaluation: RuleEvaluation) -> bool:
    """Return whether a scale-out rule blocks scale-ins: during its cooldown, or when it is at its maximum."""
    return evaluation.rule.spec.step > 0 and (
        evaluation.cooldown_until is not None or evaluation.reason.code == ScalingReason.ABOVE_MAXIMUM
    )


def _held_by_scale_out(evaluation: RuleEvaluation, out: RuleEvaluation) -> RuleEvaluation:
    """Return a scale-in's evaluation as blocked by the scale-out rule `out`; any other one unchanged."""
    if not evaluation.would_fire or evaluation.rule.spec.step > 0:
        return evaluation
    text = f"it could fire ({evaluation.reason.text}), but the scale-out rule {out.rule.rule_id} holds it back: {out.reason.text}"
    return replace(evaluation, would_fire=False, reason=Reason.of(ScalingReason.HELD_BY_SCALE_OUT, text))


def _outvoted_by(evaluation: RuleEvaluation, first: RuleEvaluation) -> RuleEvaluation:
    """Return the evaluation of a rule that does not fire because `first` does; unchanged if it would not fire anyway."""
    if not evaluation.would_fire:
        return evaluation
    text = f"it could fire ({evaluation.reason.text}), but rule {first.rule.rule_id} has the larger step {first.rule.spec.step:+d}"
    if evaluation.rule.spec.step == first.rule.spec.step:
        text = f"it could fire ({evaluation.reason.text}), but rule {first.rule.rule_id} with the same step comes first"
    return replace(evaluation, would_fire=False, reason=Reason.of(ScalingReason.OUTVOTED, text))


def _comparison(spec: RuleSpec, observation: Observation) -> str:
    what = "kernels" if spec.source is MetricSource.KERNEL else "replicas"
    sign = _HOLDS[spec.comparator][0]
    value = "?" if observation.value is None else f"{observation.value:.6g}"
    over = f"mean over {observation.reporting} of {observation.living} live {what}"
    if observation.whole:
        over = f"of the whole service, from {observation.reporting} app-{'proxy' if observation.reporting == 1 else 'proxies'}"
    return f"{spec.metric} {value} {sign} {spec.threshold:.6g} ({over})"
