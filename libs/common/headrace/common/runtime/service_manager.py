"""Reports to the service manager (systemd): ready, status in words, watchdog; over its notification socket (sd_notify(3)).

A client of our own: the protocol is datagrams of a few lines; the packages for it are unmaintained (sdnotify), or are
built against libsystemd's headers (systemd-python).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import structlog

from headrace.common.runtime.cancelling import cancel

log = structlog.get_logger()
NOTIFY_SOCKET = "NOTIFY_SOCKET"
_VARIABLES = (NOTIFY_SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID")
MAX_STATUS = 500
"""Characters of a status line."""
_SEND_S = 1.0
_STARTING_S = 0.2
"""Interval of reports until it is ready."""
_RUNNING_S = 5.0
"""Longest interval of reports while it runs."""
_EXTENDED_S = 60
"""A start or stop may last so much longer from each report on: only one whose event loop hangs runs out of time."""


class NotifySocket:
    """Datagram socket on which the service manager listens; without an address, nothing is sent."""

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @property
    def there(self) -> bool:
        """True if a service manager listens."""
        return bool(self._address)

    def send(self, text: str, fds: Sequence[int] = ()) -> str | None:
        """Send assignments, one a line, and descriptors; return why it failed, or None."""
        if not self._address:
            return None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.settimeout(_SEND_S)
            try:
                line.connect(self._address)
                socket.send_fds(line, [text.encode()], fds)
            except OSError as error:
                return error.strerror or str(error)
        return None


@runtime_checkable
class Probed(Protocol):
    """Task of a service that knows its readiness checks."""

    def failing(self) -> Mapping[str, str]:
        """Return the failing checks and why; empty when the service is ready."""

    def warnings(self) -> Mapping[str, str]:
        """Return what is wrong although the service works."""


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """The service manager as one service sees it. `watchdog_s`: in which it must hear of a living event loop; 0: never."""

    socket: NotifySocket
    watchdog_s: float = 0.0

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> ServiceManager:
        """Take the variables of the protocol from the environment, so that child processes do not report as this one."""
        address, usec, whose = (environ.pop(name, "") for name in _VARIABLES)
        mine = usec.isascii() and usec.isdecimal() and whose in {"", str(pid)}
        return cls(NotifySocket(address), int(usec) / 1e6 if mine else 0.0)

    @asynccontextmanager
    async def told(self) -> AsyncIterator[Reports]:
        """Report until the block is left: that it starts, and then as `Reports` is told."""
        reports = Reports(self)
        if not self.socket.there:
            yield reports
            return
        task = asyncio.create_task(reports.run(), name="service-manager")
        try:
            yield reports
        finally:
            await cancel(task)


class Reports:
    """Periodic reports of one service, by its event loop: one that hangs is silent, and the watchdog ends it."""

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._probed: Probed | None = None
        self._ready = self._stopping = False
        self._status = ""

    def started(self, tasks: Iterable[object]) -> None:
        """Its tasks begin to run: it is ready once the checks of the one that is `Probed` pass; at once without one."""
        self._probed = next((task for task in tasks if isinstance(task, Probed)), _READY)
        self._tick()

    def stopping(self) -> None:
        """Its tasks begin to stop."""
        self._stopping = True
        self._tick()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self._tick()
            await asyncio.sleep(self._interval_s)

    @property
    def _interval_s(self) -> float:
        if not self._ready and not self._stopping:
            return _STARTING_S
        return min(self._manager.watchdog_s / 3 or _RUNNING_S, _RUNNING_S)

    def _tick(self) -> None:
        lines = []
        failing = self._probed.failing() if self._probed is not None else {}
        if self._stopping:
            status = "stopping"
            lines += ["STOPPING=1", _extended()]
        elif self._probed is None:
            status = "starting"
            lines.append(_extended())
        elif failing:
            status = f"{'not ready' if self._ready else 'waiting'}: {_listed(failing)}"
            lines += [] if self._ready else [_extended()]
        else:
            noted = self._probed.warnings()
            status = f"ready; {_listed(noted)}" if noted else "ready"
            lines += [] if self._ready else ["READY=1"]
        if status != self._status:
            lines.append(f"STATUS={status}")
        if self._manager.watchdog_s:
            lines.append("WATCHDOG=1")
        if not lines:
            return
        if (why := self._manager.socket.send("\n".join(lines))) is not None:
            log.warning("service_manager_not_reached", why=why)  # the next report says it again
            return
        self._status = status
        self._ready = self._ready or "READY=1" in lines


class _NoChecks:
    def failing(self) -> Mapping[str, str]:
        return {}

    def warnings(self) -> Mapping[str, str]:
        return {}


_READY = _NoChecks()


def _extended() -> str:
    return f"EXTEND_TIMEOUT_USEC={_EXTENDED_S * 1_000_000}"


def _listed(checks: Mapping[str, str]) -> str:
    text = "; ".join(f"{name}: {why}" for name, why in checks.items())
    return " ".join(text.split())[:MAX_STATUS]
