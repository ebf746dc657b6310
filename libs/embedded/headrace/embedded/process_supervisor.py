"""Process supervision of one program: start, readiness, restart with back-off, stop within a bounded time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from headrace.embedded.descriptors import DescriptorStore
from headrace.embedded.errors import EmbeddedError, StartFailedError
from headrace.embedded.logs import bound, rotate, tail
from headrace.embedded.proc import StopSteps
from headrace.embedded.process import Child, Command
from headrace.embedded.records import forget, record

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
STEADY_S = 30.0
"""A program that ran for so long ends a series of failures."""

_READY_POLL_S = 0.03
_LOG_CHECK_S = 5.0


async def no_preparation() -> None:
    """Do nothing before a start."""


@dataclass(frozen=True, slots=True)
class Program:
    """Definition of a supervised program."""

    name: str
    command: Command
    ready: Callable[[], Awaitable[bool]]
    """Readiness check. Must return within a second or so."""
    prepare: Callable[[], Awaitable[None]] = no_preparation
    """Runs before each start."""
    stop_steps: StopSteps = ((signal.SIGTERM, 10.0),)
    start_timeout_s: float = 60.0
    restart_reason: Callable[[], str | None] = lambda: None
    """Why the running program must be restarted, or None. Called every few seconds; must not raise or block."""
    store: DescriptorStore | None = None
    """Keeps listening sockets of the program across restarts; closed by stop()."""


def backoff_s(failures: int) -> float:
    """Return the back-off before the restart after `failures` consecutive exits (from 1 on)."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 16))


class ProcessSupervisor:
    """Supervises a Program from start() to stop(). Its pid is on disk, so that the next start finds a leftover process.

    `on_change(name, what)` is called with "ready" after start(), then with "ended" and "restarted".
    """

    def __init__(
        self, program: Program, *, logs: Path, run: Path, on_change: Callable[[str, str], None] = lambda _n, _w: None
    ) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self.restarts = 0
        self._run = run
        self._on_change = on_change
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Pid of the running child, or None between two of them."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    async def start(self) -> None:
        """Start the program and return once it is ready; from then on it is restarted when it exits.

        Raises StartFailedError if it exits or is not ready in time; then nothing of it is left running.
        """
        rotate(self.log)
        try:
            await self.program.prepare()
            child = self._spawn()
            await self._until_ready(child)
        except BaseException:
            if self._child is not None:
                await self._child.stop(self.program.stop_steps)
            forget(self._run, self.program.name)
            raise
        self._on_change(self.program.name, "ready")
        self._task = asyncio.create_task(self._supervise(child), name=f"keep {self.program.name}")

    async def stop(self) -> None:
        """Stop the program and wait for its exit; idempotent."""
        self._stopping.set()
        self._wake.set()
        if self.program.store is not None:
            self.program.store.close()  # before the program exits: new connections are refused instead of left in the backlog
        if self._task is not None:
            await self._task

    def _spawn(self) -> Child:
        store = self.program.store
        child = Child.start(
            self.program.command,
            self.log,
            on_exit=self._wake.set,
            descriptors=store.held() if store is not None else (),
        )
        self._child = child
        try:
            if child.id is not None:
                record(self._run, self.program.name, child.id)
        except OSError as error:  # a full disk: the child runs without a pid file
            log.warning("child_not_recorded", name=self.program.name, error=str(error))
        return child

    async def _until_ready(self, child: Child) -> None:
        name, limit_s = self.program.name, self.program.start_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                while not await self.program.ready():
                    if child.returncode is not None:
                        raise self._failed(f"ended with {_ending(child.returncode)} before it was ready")
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_READY_POLL_S):
                            await child.wait()
        except TimeoutError:
            raise self._failed(f"was not ready within {limit_s:.0f} s") from None
        log.info("child_ready", name=name, pid=child.pid)

    def _failed(self, reason: str) -> StartFailedError:
        return StartFailedError(self.program.name, reason, log=self.log, tail=tail(self.log))

    async def _supervise(self, child: Child) -> None:
        """Restart `child` whenever it exits, until stop()."""
        clock = asyncio.get_running_loop().time
        failures, since = 0, clock()
        while True:
            await self._until_woken(_LOG_CHECK_S)
            if self._stopping.is_set():
                await child.stop(self.program.stop_steps)
                forget(self._run, self.program.name)
                return
            bound(self.log)
            code = child.returncode
            if code is None:
                why = self.program.restart_reason()
                if why is None:
                    continue
                log.warning("child_unhealthy", name=self.program.name, why=why)
                code = await child.stop(self.program.stop_steps)
            failures = 1 if clock() - since >= STEADY_S else failures + 1
            pause_s = backoff_s(failures)
            log.warning("child_ended", name=self.program.name, ending=_ending(code), restart_in_s=pause_s)
            self._on_change(self.program.name, "ended")
            if await self._stopped_within(pause_s):
                continue  # the exited child needs no stop, and the loop ends
            child = await self._restart(child)
            since = clock()

    async def _restart(self, ended: Child) -> Child:
        """Restart the program; return `ended` if that failed, so that it is tried again."""
        try:
            await self.program.prepare()
            child = self._spawn()
        except (OSError, EmbeddedError) as error:
            log.warning("child_not_started", name=self.program.name, error=str(error))
            self._wake.set()
            return ended
        self.restarts += 1
        log.info("child_restarted", name=self.program.name, pid=child.pid, restarts=self.restarts)
        self._on_change(self.program.name, "restarted")
        return child

    async def _until_woken(self, at_most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._wake.wait()
        self._wake.clear()

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()


async def start_all(supervisors: Iterable[ProcessSupervisor]) -> None:
    """Start several programs concurrently. If one fails the others' starts are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for supervisor in supervisors:
                group.create_task(supervisor.start(), name=f"start {supervisor.program.name}")
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _ending(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
