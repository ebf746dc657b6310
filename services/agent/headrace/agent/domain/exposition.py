"""Parser of an engine's `/metrics` page (Prometheus text format): gauges, counters, and rates of counters."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from prometheus_client.parser import text_string_to_metric_families

_SUFFIXES = ("_total", "_sum", "_count")
_LEFT_OUT = ("_bucket", "_created", "_info")


def filter_lines(text: str, wanted: Collection[str]) -> str:
    """Return the lines of an exposition that belong to the `wanted` metrics (`<name>` or `<name>:rate`), with their types.

    A cheap filter by line: full parsing costs some hundred times as much per line.
    """
    names = {name.removesuffix(":rate") for name in wanted}
    families = names | {name.removesuffix(suffix) for name in names for suffix in _SUFFIXES}
    kept = []
    for line in text.splitlines():
        if line.startswith("#"):
            words = line.split(None, 3)
            if len(words) > 2 and words[1] == "TYPE" and words[2] in families:
                kept.append(line)
        elif line.partition("{")[0].partition(" ")[0] in names:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


def read_exposition(text: str, *, max_names: int = 500) -> tuple[dict[str, float], frozenset[str]]:
    """Return values by name, and which of the names are counters (`_sum` and `_count` of histograms and summaries are).

    Over labels, counters are summed and all others (gauges, untyped) averaged: four ranks that are each 0.3 full are
    0.3 full. Buckets, quantiles, creation times and values that are not finite are left out.

    At most `max_names` names, the first in the text. Raises ValueError for what is not Prometheus text.
    """
    values: dict[str, float] = {}
    numbers: dict[str, int] = {}
    counters: set[str] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name
            if name.endswith(_LEFT_OUT) or "quantile" in sample.labels or not math.isfinite(sample.value):
                continue
            if name not in values and len(values) >= max_names:
                continue
            values[name] = values.get(name, 0.0) + float(sample.value)
            numbers[name] = numbers.get(name, 0) + 1
            if _is_counter(family.type, name):
                counters.add(name)
    for name, number in numbers.items():
        if name not in counters:
            values[name] /= number
    return values, frozenset(counters)


def _is_counter(kind: str, name: str) -> bool:
    if kind in {"histogram", "summary"}:
        return name.endswith(("_sum", "_count"))
    return kind == "counter" or (kind in {"unknown", "untyped"} and name.endswith("_total"))


def with_rates(
    now: Mapping[str, float], before: Mapping[str, float], counters: frozenset[str], seconds: float
) -> dict[str, float]:
    """Return `now` with `<name>:rate` (per second) for each counter also in `before`.

    One that decreased counts as reset to 0.
    """
    rates = {
        f"{name}:rate": (now[name] - before[name] if now[name] >= before[name] else now[name]) / seconds
        for name in counters
        if name in before and seconds > 0
    }
    return {**now, **rates}
