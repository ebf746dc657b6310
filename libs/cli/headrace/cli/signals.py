"""Signals that end a command: SIGTERM as an exception, and a record of what came.

The record is the interpreter's own. It tells what an exception does not, once a library has made another one of it.
"""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager
from sys import exc_info
from types import FrameType, TracebackType

RAISED_AGAIN_S = 0.5
"""Time after a SIGTERM that had no effect."""


class EndingSignals(AbstractContextManager["EndingSignals"]):
    """While it is open, SIGTERM raises SystemExit, and `received` tells what came. SIGINT raises KeyboardInterrupt anyway."""

    def __init__(self) -> None:
        self._record, self._written = os.pipe()
        for end in (self._record, self._written):
            os.set_blocking(end, False)

    def __enter__(self) -> EndingSignals:
        self._before = signal.signal(signal.SIGTERM, _end)
        self._before_record = signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(self._before_record)
        signal.signal(signal.SIGTERM, self._before)
        os.close(self._record)
        os.close(self._written)

    def received(self) -> signal.Signals | None:
        """Return the last SIGINT or SIGTERM since this was asked for, or None."""
        try:
            numbers = os.read(self._record, 4096)
        except BlockingIOError:
            return None
        ending = [number for number in numbers if number in {signal.SIGINT, signal.SIGTERM}]
        return signal.Signals(ending[-1]) if ending else None


def _end(number: int, _frame: FrameType | None) -> None:
    """Exit so that destructors and context managers run, and clean up a trial run or a partial file.

    Python loses an exception that a signal raises in a destructor or in a callback of C code. So it is raised again,
    unless it is being handled by then.
    """
    ending = SystemExit(128 + number)

    def again(_number: int, _frame: FrameType | None) -> None:
        handled = exc_info()[1]
        while handled is not None and handled is not ending:
            handled = handled.__context__
        if handled is None:
            signal.setitimer(signal.ITIMER_REAL, RAISED_AGAIN_S)
            raise ending

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, RAISED_AGAIN_S)
    raise ending
