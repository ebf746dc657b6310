"""One child process: started through the launcher, reaped without a thread, stopped within a bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headrace.embedded.proc import ProcessId, StopSteps

SAME = "same"
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Command:
    """Command line of a program, with its environment."""

    argv: tuple[str, ...]
    """Absolute path of the program, and its arguments."""
    env: Mapping[str, str]
    """Its whole environment."""
    cwd: Path = Path("/")
    on_parent_death: signal.Signals = signal.SIGKILL
    """Signal from the kernel when this process dies, however it dies."""
    identity: str = SAME
    """`same`, `namespace:UID:GID` or `account:UID:GID`; see launch.py."""


class Child:
    """Started child process, in a session of its own: a terminal's Ctrl-C reaches the parent only.

    The kernel ties the child to the *thread* that started it, so start children from a thread that lives as long as
    they shall: the main one, or one that runs the event loop.
    """

    def __init__(self, popen: subprocess.Popen[bytes], on_exit: Callable[[], None]) -> None:
        self._popen, self._on_exit = popen, on_exit
        self._exited = asyncio.Event()
        self.id = ProcessId.of(popen.pid)
        """None if it exited at once."""
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._reap)

    @classmethod
    def start(
        cls,
        command: Command,
        log: Path,
        on_exit: Callable[[], None] = lambda: None,
        *,
        descriptors: Sequence[tuple[str, int]] = (),
    ) -> Child:
        """Start `command` with its output appended to `log`; `on_exit` is called once, after its exit. Raises OSError.

        `descriptors`: names and numbers of those passed to it by sd_listen_fds(3).
        """
        launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(command.on_parent_death)))
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            popen = subprocess.Popen(
                (*launcher, command.identity, ",".join(f"{n}={fd}" for n, fd in descriptors) or "-", *command.argv),
                stdin=subprocess.DEVNULL,
                stdout=fd,
                stderr=subprocess.STDOUT,
                env=dict(command.env),
                cwd=command.cwd,
                start_new_session=True,
                pass_fds=[fd for _, fd in descriptors],
            )
        finally:
            os.close(fd)
        return cls(popen, on_exit)

    @property
    def pid(self) -> int:
        """Process id; it may be reused once the process has exited."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.returncode

    async def wait(self) -> int:
        """Return the exit code once the process has exited."""
        await self._exited.wait()
        return self._popen.wait()

    async def stop(self, steps: StopSteps) -> int:
        """Signal and wait through `steps`, then SIGKILL; return the exit code."""
        for number, wait_s in steps:
            self.signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await self.wait()
        self.signal(signal.SIGKILL)
        return await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send `number`; do nothing if the process has exited."""
        if self._popen.returncode is None:
            self._popen.send_signal(number)

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()
        self._exited.set()
        self._on_exit()


async def run_to_end(command: Command, log: Path, timeout_s: float) -> int:
    """Run `command` and return its exit code. Raises TimeoutError after `timeout_s`, with the process killed."""
    child = Child.start(command, log)
    try:
        async with asyncio.timeout(timeout_s):
            return await child.wait()
    finally:
        await child.stop(())
