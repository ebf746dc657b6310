"""Drain summaries: the reports of app-proxies about drains, merged. Pure.

Counts only grow and merging takes the larger, so that reports may come in any order and any number of times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from headrace.common.contracts.ids import ProxyId, ServiceId, SessionId
from headrace.common.contracts.messages.reports import DrainReceipt, ProxyReport

_NOTHING = DrainReceipt(started=0, finished=0, retried=0, failed=0, cut=0, slowest_s=0.0)


@dataclass(frozen=True)
class DrainShare:
    """One app-proxy's share of a drain.

    `in_flight` None: it was heard of, and has not told its part.
    """

    in_flight: int | None = None
    counts: DrainReceipt = _NOTHING


DrainShares = Mapping[ProxyId, DrainShare]


@dataclass(frozen=True)
class Drain:
    """A replica that leaves, or left. `generation`: of the table that told the app-proxies, None where none did."""

    session_id: SessionId
    service_id: ServiceId
    generation: int | None
    over: bool
    counted: bool
    parts: DrainShares


@dataclass(frozen=True)
class LastReport:
    """The newest report of an app-proxy, and when it came."""

    at: datetime
    report: ProxyReport


def joined(one: DrainShare, other: DrainShare) -> DrainShare:
    """Return what is known from both. Open requests of a drain only become fewer, counts only grow."""
    told = [part.in_flight for part in (one, other) if part.in_flight is not None]
    ours, theirs = one.counts.model_dump(), other.counts.model_dump()
    counts = DrainReceipt(**{name: max(count, theirs[name]) for name, count in ours.items()})
    return DrainShare(min(told, default=None), counts)


def told(drain: Drain, report: ProxyReport) -> DrainShare | None:
    """Return what the report says of the drain, None when it says nothing.

    An app-proxy that uses the table by which the replica drains, and does not name it, has nothing open on it.
    """
    for route in report.draining:
        if route.session_id == drain.session_id:
            return DrainShare(route.in_flight, route.receipt or _NOTHING)
    knows = drain.generation is not None and report.generations.get(drain.service_id, 0) >= drain.generation
    return DrainShare(0) if knows else None


def after(drain: Drain, heard: Mapping[ProxyId, LastReport], *, since: datetime, gathered: bool) -> Drain:
    """Return the drain with what was heard. `since`: when it was first looked at; `gathered`: whether all had time to be heard.

    Until it is counted, an app-proxy that was heard since and has not told its part is noted as one to wait for.
    """
    parts = dict(drain.parts)
    for proxy_id, one in heard.items():
        part = told(drain, one.report)
        if part is None and not drain.counted and drain.generation is not None and one.at > since:
            part = DrainShare()
        if part is not None:
            parts[proxy_id] = joined(parts.get(proxy_id, DrainShare()), part)
    return replace(drain, parts=parts, counted=drain.counted or (drain.over and gathered))


def total(parts: Iterable[DrainShare]) -> DrainReceipt:
    """Return the sum; of durations the longest."""
    counts = [part.counts for part in parts]
    sums = {
        name: sum(getattr(each, name) for each in counts) for name in DrainReceipt.model_fields if name != "slowest_s"
    }
    return DrainReceipt(**sums, slowest_s=max((each.slowest_s for each in counts), default=0.0))


def waiting_for(parts: DrainShares) -> tuple[ProxyId, ...]:
    """Return the app-proxies whose last word is missing."""
    return tuple(sorted(proxy_id for proxy_id, part in parts.items() if part.in_flight != 0))


def complete(parts: DrainShares, *, counted: bool) -> bool:
    """Whether everybody has told that nothing is open any more."""
    return counted and bool(parts) and not waiting_for(parts)
