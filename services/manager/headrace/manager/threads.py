"""Thread pool calls with timeouts.

A blocking function cannot be cancelled: on timeout its thread is abandoned, and the caller gets the error in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def in_thread(
    threads: ThreadPoolExecutor,
    function: Callable[[], T],
    *,
    timeout_s: float,
    ended: Callable[[], None] | None = None,
    unclaimed: Callable[[T], object] | None = None,
) -> T:
    """Run a blocking function in a thread. Raises what it raises; TimeoutError after `timeout_s`.

    `ended` is called when the thread has finished, which may be after the timeout. `unclaimed` gets the result when the
    caller has left or timed out, in whatever thread; it must not block.
    """
    loop = asyncio.get_running_loop()
    try:
        work = threads.submit(function)
    except RuntimeError:  # closing
        if ended is not None:
            ended()
        raise
    if ended is not None:
        work.add_done_callback(lambda _: _soon(loop, ended))
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.wrap_future(work)
    except BaseException:
        if unclaimed is not None:
            work.add_done_callback(partial(_hand_over, unclaimed))
        raise


def _hand_over(unclaimed: Callable[[T], object], work: Future[T]) -> None:
    if not work.cancelled() and work.exception() is None:
        unclaimed(work.result())


def _soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(function)
