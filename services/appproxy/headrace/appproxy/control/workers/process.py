"""One worker process as its parent sees it: its pid, its channel, its last snapshot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headrace.appproxy.control.workers.watchdog import ProcessStat, hang_reason, read_stat
from headrace.appproxy.ipc.channel import Channel, FrameReader, Received
from headrace.appproxy.ipc.codec import EncodedMessage
from headrace.appproxy.ipc.messages import PARENT_MESSAGES, WORKER_MESSAGES, ParentMessage, WorkerMessage
from headrace.appproxy.ipc.snapshot import TrafficSnapshot

_MODULE = "headrace.appproxy.worker"
_PREFIX = "HEADRACE_APPPROXY_"
_LAST_REPORT_S = 2.0
_TICKS_PER_S = float(os.sysconf("SC_CLK_TCK"))


class WorkerProcess:
    """One worker process of the parent: its pid, channel and last report. `needs_successor` is set when it is to be
    replaced.
    """

    def __init__(self, number: int, column: int, heard: Callable[[WorkerProcess, WorkerMessage], None]) -> None:
        self.number = number
        self.column = column
        self.snapshot = TrafficSnapshot()
        """Last reported snapshot; empty before the first report, and once it was added to the drain totals."""
        self.acknowledged = 0
        """Sequence number of the parent's last change that it has applied."""
        self.ready = False
        self.leaving = False
        self.ended = False
        self.needs_successor = asyncio.Event()
        self.started_s = self.heard_s = time.monotonic()
        self._reported_once = False
        self._cpu_when_heard_s = 0.0
        self._heard = heard
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[WorkerMessage] | None = None
        self._silent = asyncio.Event()

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the process. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                str(theirs.fileno()),
                str(self.number),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(os.environ),
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel = Channel(
            ours, FrameReader(WORKER_MESSAGES), heard=self._listen, ended=lambda _: self._silent.set()
        )

    def _listen(self, received: Received[WorkerMessage]) -> None:
        self.heard_s = time.monotonic()
        self._reported_once = True
        if (stat := self._stat()) is not None:
            self._cpu_when_heard_s = stat.cpu_s
        self._heard(self, received.message)

    def _stat(self) -> ProcessStat | None:
        """Return the process's state from /proc; None if it has exited."""
        try:
            return read_stat(Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace"), _TICKS_PER_S)
        except (OSError, ValueError, IndexError):
            return None

    def hang_reason(self, now_s: float) -> str | None:
        """Return why the process counts as hanging and is to be killed (watchdog.py), or None."""
        return hang_reason(
            now_s - self.heard_s, self._stat(), self._cpu_when_heard_s, reported_once=self._reported_once
        )

    def send(self, message: ParentMessage, descriptors: Sequence[int] = ()) -> None:
        """Send a message to the worker; ignored once it has exited."""
        self.send_encoded(PARENT_MESSAGES.encode(message), descriptors)

    def send_encoded(self, content: EncodedMessage, descriptors: Sequence[int] = ()) -> None:
        """Send a message that was encoded once for all workers; ignored once it has exited."""
        if self._channel is not None:
            self._channel.send(content, descriptors)

    def mark_leaving(self) -> None:
        """Record that the worker asked to be replaced."""
        self.leaving = True
        self.needs_successor.set()

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def watch(self) -> None:
        """Wait until the process has exited and its last report was read."""
        if self._process is not None:
            await self._process.wait()
        if self._channel is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_REPORT_S):
                    await self._silent.wait()
            self._channel.close()
        self.ended = True
        self.needs_successor.set()

    @property
    def exit_reason(self) -> str:
        """Return the exit status, or the signal that ended the process, in words."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "not started"
        return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return a worker's environment, without settings: these come from the parent's Start message only."""
    kept = {name: value for name, value in own.items() if not name.upper().startswith(_PREFIX)}
    return kept | {f"{_PREFIX}CONFIG": os.devnull}
