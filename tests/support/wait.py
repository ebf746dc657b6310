"""Waits for conditions instead of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any


def until(probe: Callable[[], object], what: str = "", *, within_s: float = 60.0) -> None:
    """Poll `probe()` until it is true. Raises AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    while not probe():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or probe}"
        time.sleep(0.01)


async def eventually(
    probe: Callable[..., Any], *, within_s: float = 60.0, every_s: float = 0.02, what: str = ""
) -> Any:
    """Poll `probe()` and return its first truthy result. AssertionErrors in it count as false.

    Raises AssertionError after `within_s`.
    """
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
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
        await asyncio.sleep(every_s)
