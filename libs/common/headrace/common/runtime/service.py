"""The process of a service: settings, logs, tasks until a signal, shutdown in reverse."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NoReturn, Protocol, TypeVar

import structlog
import uvloop

from headrace.common.contracts.problems import Problem
from headrace.common.obs.logging import configure_logging
from headrace.common.obs.metrics import BUILD_INFO
from headrace.common.runtime.cancelling import cancel
from headrace.common.runtime.instance import VERSION
from headrace.common.runtime.service_manager import ServiceManager
from headrace.common.runtime.settings import ServiceSettings, load_settings

log = structlog.get_logger()
S = TypeVar("S", bound=ServiceSettings)
GRACE_S = 20.0


class Task(Protocol):
    """Part of a service that runs until it is stopped."""

    name: str

    async def run(self) -> None:
        """Run until stop(). Returning earlier, or raising, ends the service."""

    def stop(self) -> None:
        """Ask run() to return soon."""


class Stopper:
    """Sets an event on SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def install(self) -> None:
        """Handle both signals in the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.event.set)


async def run_tasks(
    tasks: Iterable[Task],
    stop: asyncio.Event,
    *,
    grace_s: float = GRACE_S,
    on_stopping: Callable[[], None] = lambda: None,
) -> None:
    """Run all tasks until `stop` is set, then stop them in reverse order, waiting at most `grace_s` for each.

    A task that ends by itself or raises stops all others; its error is raised afterwards. `on_stopping` is called before
    the first is stopped.
    """
    running = [(task, asyncio.create_task(task.run(), name=task.name)) for task in tasks]
    stopped = asyncio.create_task(stop.wait(), name="stop")
    handles = [handle for _, handle in running]
    await asyncio.wait([stopped, *handles], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    on_stopping()
    for task, handle in reversed(running):
        task.stop()
        _, pending = await asyncio.wait([handle], timeout=grace_s)
        if pending:
            log.warning("task_cancelled", task=task.name, after_s=grace_s)
            await cancel(handle)
    results = await asyncio.gather(*handles, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


class CannotStartError(Exception):
    """Failed preflight check: why a service cannot start here, as one line for people."""


@dataclass(frozen=True)
class Service(Generic[S]):
    """Definition of a service: `main(Service(…))` is its whole process."""

    name: str
    settings: type[S]
    build: Callable[[S], AbstractAsyncContextManager[Iterable[Task]]]
    """Called before logging is configured, when it may raise CannotStartError; as a context it opens everything, and
    closes it in reverse."""
    grace_s: Callable[[S], float] = lambda _: GRACE_S
    """Time for each task to stop."""
    commands: Mapping[str, Callable[[S], Awaitable[str]]] = field(default_factory=dict)
    """Action of `python -m headrace.<name> WORD` instead of running the service; its result is printed."""


def main(service: Service[S], arguments: Sequence[str] | None = None) -> None:
    """Run a service's process: settings, logging, and its tasks on uvloop until SIGTERM or SIGINT.

    Exit status 0: stopped as asked. 1: an external cause (a port in use, a server that refuses), logged in one line; or
    a task failed. 2: wrong usage, or a failed preflight check. 78: invalid settings.
    """
    faulthandler.enable()  # where it hangs, when the service manager's watchdog aborts it
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and (len(words) > 1 or words[0] not in service.commands):
        choice = f" [{'|'.join(service.commands)}]" if service.commands else ""
        _end(2, f"usage: python -m headrace.{service.name}{choice}")
    settings = load_settings(service.settings)
    try:
        if words:
            run = partial(_command, service.commands[words[0]], settings)
        else:
            run = partial(_serve, service.name, service.build(settings), service.grace_s(settings))
    except CannotStartError as error:
        _end(2, f"cannot start: {error}")
    BUILD_INFO.labels(VERSION).set(1)
    configure_logging(service.name, level=settings.log_level, log_format=settings.log_format)
    try:
        uvloop.run(run())
    except (Problem, OSError) as error:
        log.error("service_failed", service=service.name, why=str(error))  # noqa: TRY400 - the text says the cause
        raise SystemExit(1) from None


async def _serve(name: str, built: AbstractAsyncContextManager[Iterable[Task]], grace_s: float) -> None:
    stopper = Stopper()
    stopper.install()
    async with ServiceManager.from_environment(os.environ, os.getpid()).told() as reports, built as made:
        tasks = tuple(made)
        log.info("service_started", service=name)
        reports.started(tasks)
        await run_tasks(tasks, stopper.event, grace_s=grace_s, on_stopping=reports.stopping)
    log.info("service_stopped", service=name)


async def _command(run: Callable[[S], Awaitable[str]], settings: S) -> None:
    sys.stdout.write(f"{await run(settings)}\n")


def _end(status: int, words: str) -> NoReturn:
    sys.stderr.write(f"{words}\n")
    raise SystemExit(status)
