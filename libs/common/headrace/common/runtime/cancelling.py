"""Cancellation of tasks, repeated until they have ended.

A cancellation may be lost: `asyncio.wait_for` of Python 3.11, which nats-py uses, swallows one that comes at the moment in which
what it waits for is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN_S = 2.0
"""A task that goes on for so long after its cancellation is cancelled again."""


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and return when it has ended. Its result or error is left to those who hold it."""
    pending = {task}
    while pending:
        task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)


async def within(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Return the result of `work`; after `timeout_s` end it, and raise TimeoutError.

    As `asyncio.timeout`, which cancels once only, and so waits for ever for work that lost its cancellation.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        if not task.done():
            await cancel(task)
