"""Waits for conditions instead of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

MOST_PAUSE_S = 1.0


def until(probe: Callable[[], object], what: str = "", *, within_s: float = 60.0) -> None:
    """Poll `probe()` until it is true. Raises AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        began = time.monotonic()
        if probe():
            return
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or probe}"
        time.sleep(_pause(0.01, time.monotonic() - began))


def _pause(every_s: float, took_s: float) -> float:
    """Return how long to wait after a look that took so long: thrice that, up to a second.

    Else a look that runs a program, or calls an API, takes a core from what it waits for and from the tests beside.
    """
    return max(every_s, min(3 * took_s, MOST_PAUSE_S))


async def eventually(
    probe: Callable[..., Any], *, within_s: float = 60.0, every_s: float = 0.02, what: str = ""
) -> Any:
    """Poll `probe()` and return its first truthy result. AssertionErrors in it count as false.

    Raises AssertionError after `within_s`.
    """
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        began = time.monotonic()
        try:
            result = probe()
            value = await result if isawaitable(result) else result
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or probe} (last: {last})")
        await asyncio.sleep(_pause(every_s, time.monotonic() - began))
