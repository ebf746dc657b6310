"""Observed state of kernels on the process runtime, read from their files: how each was started, and whether it runs. Blocks."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID

from headrace.agent.domain.kernels import Phase, SeenKernel
from headrace.agent.runtime.process.cgroups import kills_in
from headrace.agent.runtime.process.layout import KernelLayout
from headrace.agent.runtime.process.proc import ProcessIds
from headrace.common.contracts.ids import KernelId, ServiceId, SessionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.runtime.files import write_atomically

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StartRecord:
    """Record of a kernel's start: session and service, host port, mem slot, control group."""

    session_id: SessionId
    service_id: ServiceId | None
    port: int
    created_at: datetime
    mem_bytes: int | None
    """Its mem slot; 0: none, None: started by an older version, which did not record it."""
    group: Path | None
    """Its control group, as created; this agent might create it elsewhere."""

    @classmethod
    def read(cls, layout: KernelLayout) -> StartRecord | None:
        """Read the record; None when it is missing or cannot be read."""
        try:
            found = json.loads(layout.spec.read_text(encoding="utf-8"))
            return cls(
                SessionId(UUID(found["session_id"])),
                ServiceId(UUID(found["service_id"])) if found["service_id"] else None,
                int(found["port"]),
                datetime.fromisoformat(found["created_at"]),
                found.get("mem_bytes"),
                Path(found["group"]) if found.get("group") else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, layout: KernelLayout) -> None:
        """Write the record atomically. Raises OSError."""
        found = {
            "session_id": str(self.session_id),
            "service_id": str(self.service_id) if self.service_id else None,
            "port": self.port,
            "created_at": self.created_at.isoformat(),
            "mem_bytes": self.mem_bytes,
            "group": str(self.group) if self.group else None,
        }
        write_atomically(layout.spec, json.dumps(found).encode(), durable=False)


class KernelStateFiles:
    """Cache of the kernels' state files; a file is read again only after it was replaced.

    They are consulted in every pass and for every health check, and change twice in a kernel's life.
    """

    def __init__(self, data: Path, host: str) -> None:
        self._data = data
        self._host = host
        self._known: dict[KernelId, _Files] = {}

    def keep(self, kernel_ids: Collection[KernelId]) -> None:
        """Drop other kernels from the cache."""
        for gone in self._known.keys() - kernel_ids:
            del self._known[gone]

    def observe(self, kernel_id: KernelId) -> SeenKernel | None:
        """Return the kernel's observed state; None where there is none, or its files cannot be read."""
        files = self._of(kernel_id)
        started = files.started.read()
        if started is None:
            return None
        begun, code = files.ids.read() is not None, _exit_code(files.exit)
        phase: Phase = "exited"
        if code is None and is_held(files.lock):
            phase = "running"
        elif not begun:
            phase = "created"
        elif code is None:
            code = _exit_code(files.exit)  # it may have been written between the two looks
        reason = None
        if phase == "exited" and code != 0 and started.group is not None and kills_in(started.group):
            text = f"it or a process of it was killed for using more memory than its mem slot (exit code {code})"
            reason = Reason.of(KernelReason.OUT_OF_MEMORY, text)
        return SeenKernel(
            kernel_id,
            started.session_id,
            started.service_id,
            phase,
            started.created_at,
            self._host,
            started.port,
            exit_code=code,
            exit_reason=reason,
        )

    def ids(self, kernel_id: KernelId) -> ProcessIds | None:
        """Return the process ids that the kernel's shim wrote; None before it did."""
        return self._of(kernel_id).ids.read()

    def started(self, kernel_id: KernelId) -> StartRecord | None:
        """Return the record of the kernel's start; None when it cannot be read."""
        return self._of(kernel_id).started.read()

    def _of(self, kernel_id: KernelId) -> _Files:
        files = self._known.get(kernel_id)
        if files is None:
            files = self._known[kernel_id] = _Files(KernelLayout(self._data, kernel_id))
        return files


class _Files:
    """Cached files of one kernel."""

    def __init__(self, layout: KernelLayout) -> None:
        self.started = _KeptFile(layout.spec, lambda: StartRecord.read(layout))
        self.ids = _KeptFile(layout.state, lambda: ProcessIds.read(layout.state))
        self.exit, self.lock = str(layout.exit), str(layout.lock)


class _KeptFile(Generic[T]):
    """Cached content of a file that is only ever replaced whole. A failed read is tried again each time."""

    def __init__(self, path: Path, read: Callable[[], T | None]) -> None:
        self._path = str(path)
        self._read = read
        self._stamp: tuple[int, int, int] | None = None
        self._said: T | None = None

    def read(self) -> T | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - of every kernel in every pass, and a Path each is slow
        except OSError:
            self._said = None
            return None
        stamp = found.st_ino, found.st_mtime_ns, found.st_size
        if self._said is None or stamp != self._stamp:
            self._stamp, self._said = stamp, self._read()
        return self._said


def is_held(lock: Path | str) -> bool:
    """Return whether a shim holds the lock: it runs, or is about to."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _exit_code(path: str) -> int | None:
    with suppress(OSError, ValueError, KeyError, TypeError), open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
        return int(json.load(file)["code"])
    return None
