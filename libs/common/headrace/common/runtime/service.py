"""How a service process runs: build, serve until a signal, shut down in reverse."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
import uvloop

from headrace.common.contracts.problems import Problem

log = structlog.get_logger()


class Task(Protocol):
    """Something that runs until it is told to stop."""

    name: str

    async def run(self) -> None:
        """Run until stop(). Returning earlier, or raising, ends the service."""

    def stop(self) -> None:
        """Ask run() to return soon."""


class Stopper:
    """Turns SIGTERM and SIGINT into an event."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def install(self) -> None:
        """Handle the two signals in the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.event.set)


async def run_tasks(tasks: Iterable[Task], stop: asyncio.Event, *, grace_s: float = 20.0) -> None:
    """Run all tasks until `stop` is set, then stop them in reverse order and wait at most `grace_s` each.

    A task that ends by itself or raises stops all others; its error is raised after them.
    """
    running = [(task, asyncio.create_task(task.run(), name=task.name)) for task in tasks]
    stopped = asyncio.create_task(stop.wait(), name="stop")
    handles = [handle for _, handle in running]
    await asyncio.wait([stopped, *handles], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for task, handle in reversed(running):
        task.stop()
        _, pending = await asyncio.wait([handle], timeout=grace_s)
        if pending:
            log.warning("task_cut", task=task.name, after_s=grace_s)
            handle.cancel()
    results = await asyncio.gather(*handles, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def main(
    build: Callable[[], AbstractAsyncContextManager[Iterable[Task]]], *, service: str, grace_s: float = 20.0
) -> None:
    """Run a service process on uvloop until SIGTERM or SIGINT. `build` opens everything and closes it in reverse.

    Each task gets at most `grace_s` to end. What comes from outside (a port that is taken, a server that refuses) ends it with
    one line and exit status 1.
    """

    async def serve() -> None:
        stopper = Stopper()
        stopper.install()
        async with build() as tasks:
            log.info("service_started", service=service)
            await run_tasks(tasks, stopper.event, grace_s=grace_s)
        log.info("service_stopped", service=service)

    try:
        uvloop.run(serve())
    except (Problem, OSError) as error:
        log.error("service_failed", service=service, why=str(error))  # noqa: TRY400 - whose doing it is, the words say
        raise SystemExit(1) from None
