"""Pre-start actions: run in order, logged into the kernel's log; the first that fails fails the start."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from headrace.agent.runtime.interface import ActionFailed, KernelShell, StartRefused
from headrace.common.contracts.model import (
    Log,
    LogAction,
    Mkdir,
    MkdirAction,
    PreStartAction,
    RunCommand,
    RunCommandAction,
    WriteFile,
    WriteFileAction,
    WriteTempfile,
    WriteTempfileAction,
)
from headrace.common.contracts.reasons.kernel import KernelReason

_MAX_SHOWN = 300


class PrestartLog:
    """Log of a kernel's pre-start actions, in a file of its own with the format of the kernel's log.

    A line that cannot be written to disk is dropped: the start goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self) -> None:
        """Truncate the log: an interrupted start begins anew."""
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.write_bytes(b"")

    def add(self, text: str) -> None:
        """Append `text`, each line with the current time."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{now} {line}\n" for line in text.splitlines() or [""])

    def lines(self) -> list[str]:
        """Return all lines; empty when there is no log."""
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []


async def run_actions(
    actions: Sequence[PreStartAction],
    inside: KernelShell,
    log: PrestartLog,
    *,
    command_timeout_s: float,
    progress: Callable[[str], None],
) -> None:
    """Run the actions. Raises StartRefused (pre-start-action-failed) with number, kind and error of the first that fails."""
    for number, action in enumerate(actions, 1):
        where = f"pre-start action {number} of {len(actions)} ({action.action})"
        progress(where)
        try:
            said = await _do(action, inside, command_timeout_s)
        except ActionFailed as error:
            log.add(f"[{where}] failed: {error}")
            raise StartRefused(KernelReason.PRE_START_ACTION_FAILED, f"{where} failed: {error}") from error
        log.add(said if isinstance(action, LogAction) else f"[{where}] {said}")


async def _do(action: PreStartAction, inside: KernelShell, command_timeout_s: float) -> str:
    match action:
        case WriteFileAction(args=WriteFile() as args):
            return await _write(inside, args.filename, args.body, args.mode, append=args.append)
        case WriteTempfileAction(args=WriteTempfile() as args):
            name = f"/tmp/headrace-{secrets.token_hex(8)}.py"  # noqa: S108 - the kernel's own /tmp, and not guessable
            return await _write(inside, name, args.body, args.mode, append=False)
        case MkdirAction(args=Mkdir() as args):
            await inside.mkdir(args.path)
            return f"made {args.path}"
        case RunCommandAction(args=RunCommand() as args):
            return await _run(inside, args.command, command_timeout_s)
        case LogAction(args=Log() as args):
            return f"[debug] {args.message}" if args.debug else args.message
        case _:
            assert_never(action)


async def _write(inside: KernelShell, path: str, body: str, mode: str, *, append: bool) -> str:
    content = body.encode()
    await inside.write(path, content, int(mode, 8), append=append)
    return f"{'appended' if append else 'wrote'} {len(content)} bytes {'to ' if append else ''}{path}"


async def _run(inside: KernelShell, command: Sequence[str], timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            ran = await inside.run(command)
    except TimeoutError:
        raise ActionFailed(f"{command[0]} did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise ActionFailed(f"{command[0]}: {error.strerror}") from error
    result = json.dumps({"out": ran.out, "err": ran.err}, ensure_ascii=False)
    if ran.exit_code != 0:
        out, err = ran.out.strip()[-_MAX_SHOWN:], ran.err.strip()[-_MAX_SHOWN:]
        raise ActionFailed(
            f"{command[0]} ended with exit code {ran.exit_code}; err: {err or '(none)'}; out: {out or '(none)'}"
        )
    return result
