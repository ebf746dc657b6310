"""A histogram in the Prometheus text format, so that the server needs no client library."""

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts of values in buckets, for one Prometheus family."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """Count `value` into its bucket."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, text: str) -> list[str]:
        """Return the family `name` with its samples."""
        lines, total = [f"# HELP {name} {text}", f"# TYPE {name} histogram"], 0
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_count {total}", f"{name}_sum {self._sum}"]
