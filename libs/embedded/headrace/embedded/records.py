"""Pid files of running children, and stopping of orphans of an earlier run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import structlog

from headrace.common.runtime.files import write_atomically
from headrace.embedded.proc import ProcessId

log = structlog.get_logger(__name__)

LEFTOVER_WAIT_S = 30.0
"""Longest wait for a leftover process: an agent may still be stopping its kernels."""


def record(run: Path, name: str, process: ProcessId) -> None:
    """Write the pid file of the child `name`."""
    write_atomically(_file(run, name), json.dumps(asdict(process)) + "\n")


def forget(run: Path, name: str) -> None:
    """Remove the pid file of the child `name`; idempotent."""
    _file(run, name).unlink(missing_ok=True)


def recorded(run: Path, name: str) -> ProcessId | None:
    """Return the process in the pid file of `name`, which may have exited long ago; None if it is unreadable."""
    try:
        return ProcessId(**json.loads(_file(run, name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


async def end_leftovers(run: Path, wait_s: float = LEFTOVER_WAIT_S) -> None:
    """Wait until every recorded process has exited, and kill the others after `wait_s`.

    No signal is sent before: the kernel signalled each when its parent died.
    """
    await asyncio.gather(*(_end(run, name, wait_s) for name in _names(run)))


async def _end(run: Path, name: str, wait_s: float) -> None:
    process = recorded(run, name)
    if process is not None and process.alive:
        log.warning("leftover_found", name=name, pid=process.pid)
        if not await process.gone(wait_s):
            await process.end(())
    forget(run, name)


def _names(run: Path) -> list[str]:
    return [file.stem for file in run.glob("*.json")]


def _file(run: Path, name: str) -> Path:
    return run / f"{name}.json"
