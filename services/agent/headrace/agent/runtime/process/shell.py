"""Pre-start actions on the process runtime: files stay inside the kernel's own folder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headrace.agent.domain.rewriting import CommandRewriter
from headrace.agent.runtime.environment import HOME
from headrace.agent.runtime.interface import ActionFailed, CommandResult, Prepared
from headrace.agent.runtime.process.layout import TMP, KernelLayout

SHIM = Path(__file__).with_name("shim.py")
MAX_OUTPUT = 64 * 1024


class LocalShell:
    """File and command access to a kernel that is a folder on this machine."""

    def __init__(
        self, layout: KernelLayout, prepared: Prepared, rewriting: CommandRewriter, environ: Mapping[str, str]
    ) -> None:
        self._layout = layout
        self._rewriting = rewriting
        self._environ = environ
        targets = {os.path.normpath(mount.target): mount for mount in prepared.mounts}
        self._allowed = (HOME, TMP, *targets)
        self._writable = [layout.root.resolve(), *(m.source.resolve() for m in prepared.mounts if not m.read_only)]

    async def write(self, path: str, body: bytes, mode: int, *, append: bool) -> None:
        """Write a file inside the kernel's folder."""
        await asyncio.to_thread(self._write, path, body, mode, append)

    async def mkdir(self, path: str) -> None:
        """Make a folder inside the kernel's folder."""
        await asyncio.to_thread(self._mkdir, path)

    async def run(self, command: Sequence[str]) -> CommandResult:
        """Run a command with the kernel's environment; it and its children are killed with the agent, or on cancellation."""
        words = self._rewriting.command(command)
        cwd = str(self._layout.here(HOME))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(SHIM),
            "--bound",
            cwd,
            *words,
            env=dict(self._environ),
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        code = process.returncode or 0
        return CommandResult(code if code >= 0 else 128 - code, _text(out), _text(err))

    def _place(self, path: str) -> Path:
        """Return the host path of `path`. Raises ActionFailed where the kernel may not write."""
        clean = os.path.normpath(path if path.startswith("/") else f"{HOME}/{path}")
        if not any(clean == allowed or clean.startswith(allowed + "/") for allowed in self._allowed):
            raise ActionFailed(
                f"{path}: the process runtime has no files of its own outside of {', '.join(self._allowed)}; "
                "write there, or run on the docker runtime"
            )
        place = self._layout.here(clean)
        existing = place.parent
        while not existing.exists():
            existing = existing.parent
        if place.is_symlink() or not any(existing.resolve().is_relative_to(folder) for folder in self._writable):
            raise ActionFailed(f"{path}: it is mounted read-only")
        return place

    def _write(self, path: str, body: bytes, mode: int, append: bool) -> None:  # noqa: FBT001 - called by position from one place
        place = self._place(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("ab" if append else "wb") as file:
                file.write(body)
            place.chmod(mode)
        except OSError as error:
            raise ActionFailed(f"{path}: {error.strerror}") from error

    def _mkdir(self, path: str) -> None:
        place = self._layout.here(os.path.normpath(path))
        if place.is_dir():
            return
        try:
            self._place(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActionFailed(f"{path}: {error.strerror}") from error


def _text(output: bytes) -> str:
    return output[-MAX_OUTPUT:].decode("utf-8", "replace")
