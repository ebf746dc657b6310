"""Comparison of the proxy's metrics with what callers saw, to the last request."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from headrace.common.contracts.messages.reports import DrainingRoute
from tests.chaos.callers import NEVER, Tally

_Key = tuple[str, tuple[tuple[str, str], ...]]
_CUT = frozenset({"replica-stopped", "shutting-down"})
"""Reasons that are counted with a replica too."""


class ScrapedMetrics:
    """Scraped /metrics of the app-proxy.

    Counters of a replica outlive it for a while only, so the last value of each is kept.
    """

    def __init__(self) -> None:
        self._last: dict[_Key, float] = {}

    def take(self, page: str) -> None:
        """Parse a page; gauges missing on it are dropped."""
        families = list(text_string_to_metric_families(page))
        gauges = {sample for sample in self._last if not sample[0].endswith(("_total", "_count", "_sum", "_bucket"))}
        for key in gauges:
            del self._last[key]
        for family in families:
            for sample in family.samples:
                self._last[sample.name, tuple(sorted(sample.labels.items()))] = sample.value

    def of(self, name: str, **labels: str) -> int:
        """Return the sum of the samples with these labels."""
        wanted = set(labels.items())
        return int(sum(value for (own, having), value in self._last.items() if own == name and wanted <= set(having)))

    def by(self, name: str, label: str) -> dict[str, int]:
        """Return the sums by a label's values."""
        found: dict[str, int] = {}
        for (own, having), value in self._last.items():
            if own == name:
                key = dict(having)[label]
                found[key] = found.get(key, 0) + int(value)
        return found


def disagreements(tally: Tally, numbers: ScrapedMetrics, receipts: Iterable[DrainingRoute]) -> list[str]:
    """Return every mismatch between metrics, receipts and tally, as text. Call it when no request is open any more."""
    seen = tally.outcomes
    answered = numbers.by("headrace_proxy_requests_total", "code")
    refused = numbers.by("headrace_proxy_refused_total", "reason")
    ours = sum(number for reason, number in refused.items() if reason not in _CUT)
    broken = numbers.of("headrace_proxy_interrupted_responses_total")
    begun = seen["done"] + seen["told"] + seen["aborted"] + seen["left"]
    ended_badly = seen["told"] + seen["aborted"]
    wrong = [f"{seen[never]} streams were {never}" for never in NEVER if seen[never]]
    if tally.asked != seen.total():
        wrong.append(f"{tally.asked} streams were asked for, {seen.total()} ended")
    if answered.get("200", 0) != begun:
        wrong.append(f"callers saw {begun} answers of 200, the proxy counted {answered.get('200', 0)}")
    others = sum(number for code, number in answered.items() if code != "200")
    if others + ours != seen["refused"]:
        wrong.append(f"callers saw {dict(tally.statuses)}, the proxy counted {answered} and refused {refused}")
    # Who left may have been told just then that its answer broke off.
    if not ended_badly <= broken <= ended_badly + seen["left"]:
        wrong.append(f"callers saw {ended_badly} broken answers and {seen['left']} left, the proxy counted {broken}")
    if illegal := numbers.of("headrace_proxy_illegal_transitions_total"):
        wrong.append(f"{illegal} requests took a step that the table of their states does not know")
    wrong += [
        f"{name} is {left}"
        for name in ("headrace_proxy_in_flight", "headrace_proxy_queued", "headrace_proxy_connections")
        if (left := numbers.of(name))
    ]
    return wrong + [f"receipt {one.session_id}: {one}" for one in receipts if not _adds_up(one)]


def _adds_up(one: DrainingRoute) -> bool:
    receipt = one.receipt
    if receipt is None or one.in_flight:
        return False
    return receipt.started == receipt.finished + receipt.retried + receipt.failed + receipt.cut
