"""Quantiles of histograms. Histograms are added, quantiles never averaged."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.common.contracts.messages.traffic import LATENCY_BOUNDS_S


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the value below which this share of the values is, interpolated within its bucket; None without values.

    Of values beyond the last bound no more is known than that: the last bound is returned.
    """
    total = sum(buckets.values())
    if not total:
        return None
    wanted, seen = share * total, 0
    for at, number in sorted(buckets.items()):
        if seen + number >= wanted and number:
            if at >= len(LATENCY_BOUNDS_S):
                break
            low = LATENCY_BOUNDS_S[at - 1] if at else 0.0
            return low + (LATENCY_BOUNDS_S[at] - low) * (wanted - seen) / number
        seen += number
    return LATENCY_BOUNDS_S[-1]
