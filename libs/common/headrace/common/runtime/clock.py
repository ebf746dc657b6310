"""Wall and monotonic clocks that decisions go by. They are passed to what decides, which reads no time by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

Clock = Callable[[], datetime]
Monotonic = Callable[[], float]
"""Seconds on a clock that only goes on: durations are judged by it."""


def utc_now() -> datetime:
    """Return the current time, timezone-aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a service: SYSTEM_CLOCKS, but in tests that move time themselves."""

    utc: Clock = utc_now
    epoch: Callable[[], float] = time.time
    """The same as seconds since 1970."""
    monotonic: Monotonic = time.monotonic


SYSTEM_CLOCKS: Final = Clocks()
