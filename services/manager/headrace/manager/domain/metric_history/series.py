"""Series made of stored history, by service, revision or replica."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from headrace.common.contracts.ids import RevisionId, SessionId
from headrace.common.contracts.metric_series import SERIES, SeriesBy, SeriesName
from headrace.manager.domain.metric_history.interval import Interval
from headrace.manager.domain.metric_history.points import Point
from headrace.manager.domain.metric_history.sums import Sums

MAX_GROUPS: Final = 20
"""Revisions or replicas that an answer tells of: those with most requests."""
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a service in an interval that begins at a time."""

    at: datetime
    span_s: int
    point: Point


@dataclass(frozen=True, slots=True)
class Heard:
    """Seconds after a time in which app-proxies were heard."""

    at: datetime
    seconds: int


@dataclass(frozen=True, slots=True)
class ReplicaCount:
    """Replicas of a service from a time on."""

    at: datetime
    wanted: int
    healthy: int


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one series, a step each; None: not known."""

    name: SeriesName
    id: UUID | None
    reason: str | None
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is asked for."""

    interval: Interval
    by: SeriesBy
    names: Sequence[SeriesName]


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """Series, and how many revisions or replicas were left out."""

    series: tuple[Series, ...]
    left_out: int


def series_of(
    chosen: Chosen,
    samples: Iterable[Sample],
    heard: Iterable[Heard],
    replicas: Sequence[ReplicaCount],
    revisions: Mapping[SessionId, RevisionId],
) -> SeriesFound:
    """Return the series. `revisions`: that of each replica whose resources were measured."""
    steps = chosen.interval.steps
    heard_s = [0] * steps
    for one in heard:
        if 0 <= (step := chosen.interval.step_of(one.at)) < steps:
            heard_s[step] += one.seconds
    groups = _groups(chosen, samples, revisions)
    if chosen.by == "service":
        groups.setdefault(None, {})
    ranked = sorted(groups, key=lambda group: (-sum(sums.requests for sums in groups[group].values()), str(group)))
    shown = ranked[:MAX_GROUPS]
    found: list[Series] = []
    for name in chosen.names:
        if chosen.by not in SERIES[name].by:
            continue
        if name in (SeriesName.REPLICAS_WANTED, SeriesName.REPLICAS_HEALTHY):
            found.append(_counts(name, chosen.interval, replicas))
            continue
        found += [Series(name, group, None, _values(name, groups[group], heard_s, group)) for group in shown]
        if name is SeriesName.REFUSED:
            found += _by_reason(groups[None], heard_s)
    return SeriesFound(tuple(found), len(ranked) - len(shown))


def _groups(
    chosen: Chosen, samples: Iterable[Sample], revisions: Mapping[SessionId, RevisionId]
) -> dict[UUID | None, dict[int, Sums]]:
    """Return sums by group and step."""
    groups: dict[UUID | None, dict[int, Sums]] = defaultdict(lambda: defaultdict(Sums))
    steps = chosen.interval.steps
    for sample in samples:
        step = chosen.interval.step_of(sample.at)
        if not 0 <= step < steps:
            continue
        for one in sample.point.replicas:
            group = _group(chosen.by, one.session_id, one.revision_id)
            groups[group][step].add_traffic(one, sample.span_s)
        for used in sample.point.resources:
            group = _group(chosen.by, used.session_id, revisions.get(used.session_id))
            groups[group][step].add_resources(used, sample.at, sample.span_s)
        if chosen.by == "service" and (sample.point.refused or sample.point.queued):
            groups[None][step].add_waiting(sample.point, sample.span_s)
    return groups


def _group(by: SeriesBy, session_id: SessionId | None, revision_id: RevisionId | None) -> UUID | None:
    if by == "service":
        return None
    return session_id if by == "replica" else revision_id


def _values(
    name: SeriesName, by_step: Mapping[int, Sums], heard_s: Sequence[int], group: UUID | None
) -> tuple[float | None, ...]:
    """Return the values. A revision or replica has none before its first and after its last sign of life."""
    known = range(len(heard_s)) if group is None or not by_step else range(min(by_step), max(by_step) + 1)
    nothing = Sums()
    return tuple(
        _rounded(by_step.get(step, nothing).value(name, seconds)) if step in known else None
        for step, seconds in enumerate(heard_s)
    )


def _by_reason(by_step: Mapping[int, Sums], heard_s: Sequence[int]) -> list[Series]:
    reasons = sorted({why for sums in by_step.values() for why in sums.refused})
    nothing = Sums()
    return [
        Series(
            SeriesName.REFUSED,
            None,
            why,
            tuple(
                _rounded(by_step.get(step, nothing).refused.get(why, 0) / seconds) if seconds else None
                for step, seconds in enumerate(heard_s)
            ),
        )
        for why in reasons
    ]


def _counts(name: SeriesName, interval: Interval, replicas: Sequence[ReplicaCount]) -> Series:
    """Return the last number within or before each step."""
    values: list[float | None] = []
    position, last = 0, None
    for step in range(interval.steps):
        while position < len(replicas) and interval.step_of(replicas[position].at) <= step:
            last = replicas[position]
            position += 1
        wanted = name is SeriesName.REPLICAS_WANTED
        values.append(None if last is None else float(last.wanted if wanted else last.healthy))
    return Series(name, None, None, tuple(values))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
