"""Waiting for conditions, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    probe: Callable[[], T | Awaitable[T]], *, within_s: float = 30.0, every_s: float = 0.02, what: str = ""
) -> T:
    """Return the first truthy result of `probe`; AssertionErrors in it count as 'not yet'. Raises AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            result = probe()
            value: T = await result if isawaitable(result) else result
        except AssertionError as error:
            last = error
        else:
            if value:
                return value
            last = value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or probe} (last: {last})")
        await asyncio.sleep(every_s)
