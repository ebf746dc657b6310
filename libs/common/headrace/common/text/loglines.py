"""Log lines, `<UTC timestamp> <text>`: their timestamps, and filtering by time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?=Z )")


def time_of(line: str) -> str | None:
    """Return a log line's timestamp in a form that sorts by time, whatever its digits; None if it has none."""
    found = _TIME.match(line)
    return found[0] if found else None


class LinesSince:
    """Filter for the lines of one log from time `since` on (as time_of() returns it; None: all).

    By position, not by time alone: after the first line that is late enough, all following ones pass, even if a clock
    was set back.
    """

    def __init__(self, since: str | None) -> None:
        self._since = since

    def of(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield those of the next lines that pass."""
        for line in lines:
            if self._since is not None:
                at = time_of(line)
                if at is None or at < self._since:
                    continue
                self._since = None
            yield line
