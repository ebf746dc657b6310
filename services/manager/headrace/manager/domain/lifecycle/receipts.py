"""Receipts of drains, merged from the reports of app-proxies. Pure.

Counts only grow and merging takes the larger, so that reports may arrive in any order and any number of times.
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

    `in_flight` None: the app-proxy is known, and has not reported its share yet.
    """

    in_flight: int | None = None
    counts: DrainReceipt = _NOTHING


DrainShares = Mapping[ProxyId, DrainShare]


@dataclass(frozen=True)
class Drain:
    """Drain of a replica, in progress or over. `generation`: of the route table that announced it, None where none did."""

    session_id: SessionId
    service_id: ServiceId
    generation: int | None
    over: bool
    counted: bool
    parts: DrainShares


@dataclass(frozen=True)
class LastReport:
    """Newest report of an app-proxy, and its time of arrival."""

    at: datetime
    report: ProxyReport


def merged(one: DrainShare, other: DrainShare) -> DrainShare:
    """Merge two reports of one share: open requests of a drain only decrease, counts only grow."""
    told = [part.in_flight for part in (one, other) if part.in_flight is not None]
    ours, theirs = one.counts.model_dump(), other.counts.model_dump()
    counts = DrainReceipt(**{name: max(count, theirs[name]) for name, count in ours.items()})
    return DrainShare(min(told, default=None), counts)


def share_of(drain: Drain, report: ProxyReport) -> DrainShare | None:
    """Return the app-proxy's share of the drain; None when the report has none.

    An app-proxy that uses the table with the drain, and does not list it, has no open request on the replica.
    """
    for route in report.draining:
        if route.session_id == drain.session_id:
            return DrainShare(route.in_flight, route.receipt or _NOTHING)
    knows = drain.generation is not None and report.generations.get(drain.service_id, 0) >= drain.generation
    return DrainShare(0) if knows else None


def updated(drain: Drain, heard: Mapping[ProxyId, LastReport], *, since: datetime, gathered: bool) -> Drain:
    """Return the drain updated with the newest reports.

    `since`: start of tracking; `gathered`: whether all app-proxies had time to report. Until the drain is complete, an
    app-proxy that reported since and has no share yet is added as one to wait for.
    """
    parts = dict(drain.parts)
    for proxy_id, one in heard.items():
        part = share_of(drain, one.report)
        if part is None and not drain.counted and drain.generation is not None and one.at > since:
            part = DrainShare()
        if part is not None:
            parts[proxy_id] = merged(parts.get(proxy_id, DrainShare()), part)
    return replace(drain, parts=parts, counted=drain.counted or (drain.over and gathered))


def total(parts: Iterable[DrainShare]) -> DrainReceipt:
    """Return the sum of the shares; of durations the longest."""
    counts = [part.counts for part in parts]
    sums = {
        name: sum(getattr(each, name) for each in counts) for name in DrainReceipt.model_fields if name != "slowest_s"
    }
    return DrainReceipt(**sums, slowest_s=max((each.slowest_s for each in counts), default=0.0))


def waiting_for(parts: DrainShares) -> tuple[ProxyId, ...]:
    """Return the app-proxies whose final report is missing."""
    return tuple(sorted(proxy_id for proxy_id, part in parts.items() if part.in_flight != 0))


def complete(parts: DrainShares, *, counted: bool) -> bool:
    """Return whether every app-proxy has reported that no request is open any more."""
    return counted and bool(parts) and not waiting_for(parts)
