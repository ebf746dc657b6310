"""Evaluation of the scaling rules of one service: which fires, and why the others do not.

A rule fires when it is enabled, its service is active, its metric is reported, the comparison holds, its cooldown is over
and the result stays within its own [min, max]. Of several that could fire the one with the largest step is taken: the
largest scale-out first, and a scale-in only when no rule wants out, the mildest first; equal steps by rule id, oldest first.
A scale-in also waits while the cooldown of a scale-out lasts, and while one holds that may not go further out: what was just
started is not thrown away before it could help.
So the wanted number changes at most once per look, and the others' reasons say which rule was before them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from headrace.autoscaler.domain.observation import Horizon, Live, Observation, observe
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
    """Evaluation of one rule. `would_fire`: nothing but another rule stands in its way. `wanted`: the result then."""

    rule: Rule
    observed: float | None
    would_fire: bool
    wanted: int
    reason: Reason
    cooldown_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every rule's look, in the table's order, and the one to fire if any (its look is among them)."""

    looks: tuple[RuleEvaluation, ...]
    fire: RuleEvaluation | None


@dataclass(frozen=True, slots=True)
class ScalingInput:
    """Input of an evaluation: one service at one moment. `wanted` is the newest known number of wanted replicas; `fired`: when rules fired last."""

    table: RuleTable
    live: Live
    wanted: int
    window: Window
    fired: Mapping[RuleId, datetime]
    blocked: Reason | None = None
    """Why nothing may fire now, whatever the rules say (an earlier request's answer is awaited)."""


def decide(subject: ScalingInput, horizon: Horizon, now: datetime) -> Verdict:
    """Return a look at each rule and the one that fires, at most one."""
    seen: dict[tuple[MetricSource, str], Observation] = {}
    looks = []
    for rule in subject.table.rules:
        key = (rule.spec.source, rule.spec.metric)
        if key not in seen:
            seen[key] = observe(*key, subject.live, subject.window, horizon, now)
        looks.append(_look(rule, seen[key], subject, horizon, now))
    out = next((look for look in looks if _holds_back(look)), None)
    if out is not None and not any(look.would_fire and look.rule.spec.step > 0 for look in looks):
        looks = [_held_back(look, out) for look in looks]
    candidates = sorted(
        (look for look in looks if look.would_fire), key=lambda look: (-look.rule.spec.step, look.rule.rule_id)
    )
    if not candidates:
        return Verdict(looks=tuple(looks), fire=None)
    first = candidates[0]
    return Verdict(looks=tuple(look if look is first else _outvoted(look, first) for look in looks), fire=first)


def cooldown_end(spec: RuleSpec, fired_at: datetime | None) -> datetime | None:
    """Return when a rule that fired at `fired_at` may fire again."""
    return None if fired_at is None else fired_at + timedelta(seconds=spec.cooldown_s)


def _look(rule: Rule, seen: Observation, subject: ScalingInput, horizon: Horizon, now: datetime) -> RuleEvaluation:
    until = cooldown_end(rule.spec, subject.fired.get(rule.rule_id))
    cooling = until if until is not None and until > now else None
    wanted = subject.wanted + rule.spec.step
    why_not = _why_not(rule.spec, seen, subject, horizon, cooling, now)
    reason = why_not or Reason.of(
        ScalingReason.RULE_FIRED, f"{_comparison(rule.spec, seen)}: {subject.wanted} → {wanted} replicas"
    )
    return RuleEvaluation(
        rule=rule, observed=seen.value, would_fire=why_not is None, wanted=wanted, reason=reason, cooldown_until=cooling
    )


def _why_not(
    spec: RuleSpec, seen: Observation, subject: ScalingInput, horizon: Horizon, cooling: datetime | None, now: datetime
) -> Reason | None:
    """Return the first thing that keeps the rule from firing, None if nothing does."""
    if not spec.enabled:
        return Reason.of(ScalingReason.RULE_DISABLED, "the rule is disabled")
    if not subject.table.active:
        return Reason.of(ScalingReason.SERVICE_INACTIVE, "the service is stopped or being deleted")
    if seen.value is None:
        return _missing(spec, seen, subject.window, horizon, now)
    if not _HOLDS[spec.comparator][1](seen.value, spec.threshold):
        return Reason.of(ScalingReason.CONDITION_NOT_MET, f"not the case: {_comparison(spec, seen)}")
    if cooling is not None:
        left = (cooling - now).total_seconds()
        text = f"{_comparison(spec, seen)}, but it fired {spec.cooldown_s - left:.0f} s ago; cooldown for another {left:.0f} s"
        return Reason.of(ScalingReason.COOLING_DOWN, text)
    return _beyond(spec, seen, subject.wanted) or subject.blocked


def _beyond(spec: RuleSpec, seen: Observation, wanted: int) -> Reason | None:
    result = wanted + spec.step
    if spec.min_replicas <= result <= spec.max_replicas:
        return None
    over = result > spec.max_replicas
    code, bound = (
        (ScalingReason.ABOVE_MAXIMUM, f"maximum {spec.max_replicas}")
        if over
        else (ScalingReason.BELOW_MINIMUM, f"minimum {spec.min_replicas}")
    )
    text = f"{_comparison(spec, seen)}, but {wanted} {spec.step:+d} = {result} replicas would pass the {bound}"
    return Reason.of(code, text)


def _missing(spec: RuleSpec, seen: Observation, window: Window, horizon: Horizon, now: datetime) -> Reason:
    what = "kernels" if spec.source is MetricSource.KERNEL else "replicas"
    bound = f"within {horizon.freshness.total_seconds():g} s"
    last = window.newest_ms(spec.metric)
    ago = "" if last is None else f"; last heard of {now.timestamp() - last / 1000:.0f} s ago"
    if spec.metric in SERVICE_METRICS and spec.source is not MetricSource.KERNEL:
        return Reason.of(ScalingReason.METRIC_MISSING, f"no app-proxy reported {spec.metric} {bound}{ago}")
    if not seen.living:
        return Reason.of(ScalingReason.NO_LIVE_REPLICAS, f"no live {what}, so nobody reports {spec.metric}")
    text = f"none of {seen.living} live {what} reported {spec.metric} ({spec.source}) {bound}{ago}"
    return Reason.of(ScalingReason.METRIC_MISSING, text)


def _holds_back(look: RuleEvaluation) -> bool:
    """Whether it is a scale-out that does not fire although it wants to, or whose cooldown lasts."""
    return look.rule.spec.step > 0 and (
        look.cooldown_until is not None or look.reason.code == ScalingReason.ABOVE_MAXIMUM
    )


def _held_back(look: RuleEvaluation, out: RuleEvaluation) -> RuleEvaluation:
    """Return a scale-in as it stands while the scale-out `out` holds it back."""
    if not look.would_fire or look.rule.spec.step > 0:
        return look
    text = f"it could fire ({look.reason.text}), but the scale-out rule {out.rule.rule_id} holds it back: {out.reason.text}"
    return replace(look, would_fire=False, reason=Reason.of(ScalingReason.HELD_BY_SCALE_OUT, text))


def _outvoted(look: RuleEvaluation, first: RuleEvaluation) -> RuleEvaluation:
    """Return `look` as it stands when `first` fires."""
    if not look.would_fire:
        return look
    text = f"it could fire ({look.reason.text}), but rule {first.rule.rule_id} has the larger step {first.rule.spec.step:+d}"
    if look.rule.spec.step == first.rule.spec.step:
        text = f"it could fire ({look.reason.text}), but rule {first.rule.rule_id} with the same step comes first"
    return replace(look, would_fire=False, reason=Reason.of(ScalingReason.OUTVOTED, text))


def _comparison(spec: RuleSpec, seen: Observation) -> str:
    what = "kernels" if spec.source is MetricSource.KERNEL else "replicas"
    sign = _HOLDS[spec.comparator][0]
    value = "?" if seen.value is None else f"{seen.value:.6g}"
    over = f"mean over {seen.reporting} of {seen.living} live {what}"
    if seen.whole:
        over = f"of the whole service, from {seen.reporting} app-{'proxy' if seen.reporting == 1 else 'proxies'}"
    return f"{spec.metric} {value} {sign} {spec.threshold:.6g} ({over})"
