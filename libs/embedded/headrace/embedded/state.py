"""`state.json` in the data folder: the state of a running stack, for `headrace status` and `down`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.common.runtime.files import write_atomically
from headrace.embedded.proc import ProcessId


class Phase(StrEnum):
    """Phase of the stack."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


class ProcessState(BaseModel):
    """One child process."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    name: str
    pid: int | None
    """None between its exit and its restart."""
    port: int
    admin_url: str | None = None
    """Listener of a service that has /livez, /readyz and /metrics; None for PostgreSQL, NATS and Valkey."""
    log: Path
    restarts: int


class StackState(BaseModel):
    """State of the stack, as its supervisor writes it; no secrets."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    v: int = 1
    phase: Phase
    pid: int
    """Pid of the supervisor; `ticks` and `boot` tell it from a later process with the same pid."""
    ticks: int
    boot: str
    started_at: datetime
    data: Path
    runtime: str
    agents: int
    simulate_gpus: int
    listen_host: str = "127.0.0.1"
    """Address of the API and the endpoints."""
    api_url: str
    proxy_url: str
    admin_key_file: Path
    """Exists once the manager was ready for the first time."""
    processes: tuple[ProcessState, ...]

    @property
    def process(self) -> ProcessId:
        """Identity of the supervisor's process."""
        return ProcessId(self.pid, self.ticks, self.boot)


def state_file(data: Path) -> Path:
    """Return the path of the state file of the stack on `data`."""
    return data / "state.json"


def write_state(state: StackState) -> None:
    """Replace the state file."""
    write_atomically(state_file(state.data), state.model_dump_json(indent=1) + "\n")


def remove_state(data: Path) -> None:
    """Remove the state file; safe to repeat."""
    state_file(data).unlink(missing_ok=True)


def read_state(data: Path) -> StackState | None:
    """Return the state of the stack that runs on `data`, or None if none does (a killed one counts as none)."""
    try:
        state = StackState.model_validate_json(state_file(data).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    return state if state.process.alive else None
