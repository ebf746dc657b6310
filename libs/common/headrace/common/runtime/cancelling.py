"""Cancellation of tasks, repeated until they have ended.

A cancellation may be lost: `asyncio.wait_for` of Python 3.11, which nats-py uses, swallows one that comes at the moment in which
what it waits for is there.
"""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 2.0
"""A task that goes on for so long after its cancellation is cancelled again."""


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and return when it has ended. Its result or error is left to those who hold it."""
    pending = {task}
    while pending:
        task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
