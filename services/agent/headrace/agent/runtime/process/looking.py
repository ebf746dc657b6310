"""What the files of a kernel on the process runtime say of it: what it was started with, and whether it runs. Blocks."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from headrace.agent.domain.kernels import Phase, SeenKernel
from headrace.agent.files import write_whole
from headrace.agent.runtime.process.cgroups import kills_in
from headrace.agent.runtime.process.layout import Layout
from headrace.agent.runtime.process.proc import Ids
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.reasons import Reason


@dataclass(frozen=True, slots=True)
class Started:
    """What a kernel was started with."""

    session_id: SessionId
    service_id: ServiceId | None
    port: int
    created_at: datetime
    mem_bytes: int | None
    """Its mem slot; 0: none, None: an older version started it, which did not say."""
    group: Path | None
    """Its control group: where it was made, which may not be where this agent would make one."""

    @classmethod
    def read(cls, layout: Layout) -> Started | None:
        """Return what is written; None where that cannot be read."""
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

    def write(self, layout: Layout) -> None:
        """Write it down, whole or not at all. Raises OSError."""
        found = {
            "session_id": str(self.session_id),
            "service_id": str(self.service_id) if self.service_id else None,
            "port": self.port,
            "created_at": self.created_at.isoformat(),
            "mem_bytes": self.mem_bytes,
            "group": str(self.group) if self.group else None,
        }
        write_whole(layout.spec, json.dumps(found).encode())


def look(layout: Layout, host: str) -> SeenKernel | None:
    """Return the kernel as it is now; None where there is none, or its files cannot be read."""
    started = Started.read(layout)
    if started is None:
        return None
    begun, code = Ids.read(layout.state) is not None, _exit_code(layout)
    phase: Phase = "exited"
    if code is None and is_held(layout.lock):
        phase = "running"
    elif not begun:
        phase = "created"
    elif code is None:
        code = _exit_code(layout)  # it may have been written between the two looks
    reason = None
    if phase == "exited" and code != 0 and started.group is not None and kills_in(started.group):
        text = f"it or a process of it was killed for using more memory than its mem slot (exit code {code})"
        reason = Reason(code="out-of-memory", text=text)
    return SeenKernel(
        layout.kernel_id, started.session_id, started.service_id, phase, started.created_at, host, started.port,
        exit_code=code, exit_reason=reason,
    )  # fmt: skip


def is_held(lock: Path) -> bool:
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


def _exit_code(layout: Layout) -> int | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(layout.exit.read_text(encoding="utf-8"))["code"])
    return None
