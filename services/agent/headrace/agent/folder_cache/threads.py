"""Blocking functions in threads, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def in_thread(
    threads: ThreadPoolExecutor, function: Callable[[], T], *, interrupt: Callable[[], None] = lambda: None
) -> T:
    """Run a blocking function in a thread; when cancelled, return only once it has ended, so that nothing is used after it.

    `interrupt` is called when cancelled, to make it end.
    """
    work = asyncio.get_running_loop().run_in_executor(threads, function)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        interrupt()
        await asyncio.wait([work])
        raise
