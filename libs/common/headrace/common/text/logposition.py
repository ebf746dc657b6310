"""Read position in a log, from which reading resumes after a lost connection: no line twice, none left out."""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Final

from headrace.common.text.loglines import time_of

OVERLAP: Final = timedelta(seconds=10)
"""Overlap of a repeated request, since lines of several replicas are not sorted by time; lines read before are
skipped."""
_REMEMBERED: Final = 100
_REPLICA = re.compile(r"^([0-9a-f]{8}-[0-9a-f-]{27}) ")
_NOTE = " headrace: log "
"""Lines of the server itself; its clock is not the replica's."""


class _Read:
    """Last position in one replica's log: the lines with the newest timestamp, of which there may be several."""

    def __init__(self, at: str, *, whole: bool) -> None:
        self.at = at
        self.whole = whole
        """True if all lines of that time were read, from the first on."""
        self.count = 0
        self.last: deque[int] = deque(maxlen=_REMEMBERED)

    def add(self, line: str) -> None:
        self.count += 1
        self.last.append(hash(line))


class _Again:
    """Skips lines that were read before, after a log is requested again from an earlier position."""

    def __init__(self, read: _Read) -> None:
        self._read = read
        self._count = 0
        self._last: deque[int] = deque(maxlen=max(1, len(read.last)))
        self.over = False

    def was_read(self, at: str, line: str) -> bool:
        if self.over or at > self._read.at:
            self.over = True
            return False
        if at == self._read.at:
            self._count += 1
            self._last.append(hash(line))
            self.over = self._count >= self._read.count if self._read.whole else self._last == self._read.last
        return True


class LogPosition:
    """Read position in a log, or in the logs of several replicas (whose lines begin with the replica's id)."""

    def __init__(self) -> None:
        self._read: dict[str, _Read] = {}
        self._again: dict[str, _Again] = {}

    def since(self) -> str | None:
        """Return the time from which to request the log again, and start skipping repeated lines; None if nothing was
        read.
        """
        self._again = {replica: _Again(read) for replica, read in self._read.items()}
        if not self._read:
            return None
        first = datetime.fromisoformat(min(read.at for read in self._read.values()))
        return (first.replace(tzinfo=UTC) - OVERLAP).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def takes(self, line: str) -> bool:
        """Record the next line, and return True if it is new."""
        found = _REPLICA.match(line)
        replica, rest = (found[1], line[found.end() :]) if found else ("", line)
        at = time_of(rest)
        if at is None or rest.partition(" ")[2].startswith(_NOTE[1:]):
            return True
        again = self._again.get(replica)
        if again is not None and not again.over and again.was_read(at, line):
            return False
        read = self._read.get(replica)
        if read is None or read.at != at:
            read = self._read[replica] = _Read(at, whole=read is not None)
        read.add(line)
        return True
