"""Shared-memory table of in-flight requests per replica and worker, and the eventfds that wake workers with queued
requests.

One row per replica, one cell of 64 bits per worker process (its column). A process writes its own cells only, each with
one aligned store, and reads the others': no lock, and sums are at most a moment old. Two workers that read at the same
moment may both take the last place, so a replica's limit can be exceeded by one request per further worker, for that
long.

A worker with requests queued for a replica claims a place there: a high bit of its cell. A worker counts the places
claimed by others as taken, unless it is its turn among those with claims; so no queued request is overtaken for ever by
another worker's requests. A worker that frees a place wakes those with claims.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

_WORD = 8
_CLAIM = 1 << 32
_TURN_NS = 20_000_000


class InFlightCell:
    """One replica's row, as one process sees it."""

    __slots__ = ("_alone", "_claim", "_clock_ns", "_mine", "_number", "_published", "_row", "_wake")

    def __init__(
        self, row: memoryview, mine: int, wake: Callable[[int], None], clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._row = row
        self._mine = mine
        self._wake = wake
        self._alone = len(row) == 1
        self._clock_ns = clock_ns
        self._number = self._claim = self._published = 0
        self._write()

    def _write(self) -> None:
        self._published = self._row[self._mine] = self._number + self._claim

    def publish(self, number: int) -> None:
        """Write this worker's number of open requests; if it decreased, workers with claims are woken."""
        fewer = number < self._number
        self._number = number
        self._write()
        if fewer and not self._alone and sum(self._row.tolist()) - self._published >= _CLAIM:
            for column in self._claimants():
                if column != self._mine:
                    self._wake(column)

    def others(self) -> int:
        """Return the other workers' open requests, plus their claims while it is their turn."""
        if self._alone:
            return 0
        theirs: int = sum(self._row.tolist()) - self._published
        if theirs < _CLAIM:
            return theirs
        return theirs % _CLAIM + (0 if self._has_turn() else theirs // _CLAIM)

    def claim(self, *, wanted: bool) -> None:
        """Claim a place for queued requests of this worker, or withdraw the claim. Idempotent."""
        self._claim = _CLAIM if wanted else 0
        self._write()

    def _claimants(self) -> list[int]:
        return [column for column, cell in enumerate(self._row) if cell >= _CLAIM]

    def _has_turn(self) -> bool:
        """Return True if it is this worker's turn among those with claims; the monotonic clock is the machine's, so
        they agree.
        """
        claimants = self._claimants()
        return bool(claimants) and claimants[self._clock_ns() // _TURN_NS % len(claimants)] == self._mine


class InFlightTable:
    """Shared memory with an eventfd per column. `fds` are what another process needs to open the same table."""

    def __init__(self, memory: int, wakeup_fds: Sequence[int], *, rows: int) -> None:
        """Open a table from these descriptors."""
        self._memory = memory
        self._wakeup_fds = list(wakeup_fds)
        self._columns = len(self._wakeup_fds)
        self.rows = rows
        self._map = mmap.mmap(memory, rows * self._columns * _WORD)
        self._bytes = memoryview(self._map)
        self._cells = self._bytes.cast("q")

    @classmethod
    def make(cls, *, rows: int, columns: int) -> InFlightTable:
        """Create a zeroed table. Pages of memory are only used once their rows are."""
        memory = os.memfd_create("headrace-in-flight", os.MFD_CLOEXEC)
        os.ftruncate(memory, rows * columns * _WORD)
        return cls(memory, [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(columns)], rows=rows)

    @property
    def fds(self) -> list[int]:
        """Descriptors: the memory, then the eventfds by column."""
        return [self._memory, *self._wakeup_fds]

    def wakeup_fd(self, column: int) -> int:
        """Return the descriptor that becomes readable when this column is woken."""
        return self._wakeup_fds[column]

    def wake(self, column: int) -> None:
        """Wake the process with this column."""
        os.eventfd_write(self._wakeup_fds[column], 1)

    def clear_wakeup(self, column: int) -> None:
        """Reset the eventfd after a wake-up."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup_fds[column])

    def _row(self, row: int) -> memoryview:
        return self._cells[row * self._columns : (row + 1) * self._columns]

    def cell(self, row: int, column: int) -> InFlightCell:
        """Return a row as the process with this column sees it."""
        return InFlightCell(self._row(row), column, self.wake)

    def in_flight(self, row: int, column: int) -> int:
        """Return the open requests in one cell."""
        return int(self._cells[row * self._columns + column] % _CLAIM)

    def is_empty(self, row: int) -> bool:
        """Return True if the row has no open requests and no claims."""
        return not any(self._row(row))

    def clear(self, column: int) -> None:
        """Zero the column of a process that has exited."""
        for row in range(self.rows):
            if self._cells[row * self._columns + column]:
                self._cells[row * self._columns + column] = 0

    def close(self) -> None:
        """Release the memory and the eventfds. Raises BufferError while cells of it exist."""
        self._cells.release()
        self._bytes.release()
        self._map.close()
        for fd in self.fds:
            os.close(fd)
