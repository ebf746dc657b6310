"""Process runtime: kernels as processes of this machine, for trying out and for tests.

It promises no isolation: a kernel runs as the agent's own account, sees the machine's files and network, may write to
its model folder if the account may, and its cpu slot is counted but not enforced. Its mem slot is enforced where the
agent may create control groups (a limit on address space would break CUDA and most runtimes); elsewhere the memory use
of the kernel's processes is compared with it. Use the docker runtime for anything else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from headrace.agent.domain.kernels import SeenKernel
from headrace.agent.domain.rewriting import CommandRewriter
from headrace.agent.domain.usage import Usage
from headrace.agent.machine import architecture, cpu_count, memory_bytes
from headrace.agent.runtime.environment import HOME
from headrace.agent.runtime.interface import Before, Capacity, PortProblem, Prepared, RuntimeUnavailable, StartRefused
from headrace.agent.runtime.listening import in_words
from headrace.agent.runtime.process.cgroups import NO_GROUP, MemoryGroups, procs_of, remove
from headrace.agent.runtime.process.exits import ExitWatcher
from headrace.agent.runtime.process.layout import KernelLayout, kernel_environment
from headrace.agent.runtime.process.logfile import read_log
from headrace.agent.runtime.process.proc import ProcessIds, held_memory, trees
from headrace.agent.runtime.process.process_tree import PortOwnership, kill_marked, listeners_of, orphaned_kernels
from headrace.agent.runtime.process.shell import SHIM, LocalShell
from headrace.agent.runtime.process.state_files import KernelStateFiles, StartRecord, is_held
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Isolation
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.slots import MEM
from headrace.common.runtime.removal import remove_tree

log = structlog.get_logger()
_SHIM_S = 20.0
"""Timeout for the shim to report the start, and to clean up after a SIGKILL."""


class ProcessRuntime:
    """Runs kernels as processes. Each has a shim (shim.py) that outlives the agent, so that a restarted agent adopts kernels."""

    def __init__(
        self, data: Path, *, host: str, log_bytes: int, environ: Mapping[str, str], groups: MemoryGroups | None = None
    ) -> None:
        """Make a runtime. `groups`: where control groups can be created for kernels; None: nowhere."""
        self._data = data
        self._files = KernelStateFiles(data, host)
        self._log_bytes = log_bytes
        self._environ = environ
        self._exits = ExitWatcher()
        self._groups = groups
        log.info(
            "memory_limits_chosen",
            bounded=self._groups is not None,
            groups=str(self._groups.base) if self._groups else None,
        )
        self._listeners = PortOwnership()
        self._swept: set[KernelId] = set()
        self._looked_for_strays = False

    async def capacity(self) -> Capacity:
        """Return this machine's capacity, within the limits of the agent's control group."""
        return Capacity(socket.gethostname(), architecture(), cpu_count(), memory_bytes())

    async def list(self) -> Mapping[KernelId, SeenKernel]:
        """Return the kernels that have a folder. Cheap: a few small files each, mostly cached."""
        found = {}
        with suppress(FileNotFoundError):
            for name in os.listdir(self._data / "kernels"):  # noqa: PTH208 - in every pass, and a Path each is slow
                seen = self._look(name)
                if seen is not None:
                    found[seen.kernel_id] = seen
        await self._end_strays(found)
        self._listeners.keep(found)
        self._files.keep(found)
        self._exits.keep({kernel_id for kernel_id, seen in found.items() if seen.phase == "running"})
        return found

    async def start(self, spec: KernelSpec, prepared: Prepared, before: Before | None) -> None:
        """Create the kernel's folder, run the pre-start actions in it, then the program under a shim."""
        layout = KernelLayout(self._data, spec.kernel_id)
        if is_held(layout.lock):
            return
        if not spec.command:
            raise StartRefused(
                KernelReason.NO_COMMAND,
                "there is no start command, and the process runtime knows no images that have one",
            )
        try:
            await asyncio.to_thread(self._make, layout, spec, prepared)
        except OSError as error:
            raise StartRefused(KernelReason.START_FAILED, f"its folder cannot be made: {error.strerror}") from error
        await self._end_kernel(spec.kernel_id)  # of a start that was cut: an action, or what it left running
        rewriting = layout.rewriting(spec, prepared)
        environ = kernel_environment(spec, prepared, layout, rewriting, self._environ)
        if before is not None:
            await before(LocalShell(layout, prepared, rewriting, environ))
        prepared.progress("starting the program")
        prepared.release_port()
        command = _command(spec, rewriting)
        if command != spec.command:  # which words, not what they say: a script may hold secrets
            words = [n for n, (old, new) in enumerate(zip(spec.command, command, strict=True)) if old != new]
            log.info("command_rewritten", kernel_id=str(spec.kernel_id), port=prepared.host_port, words=words[:50])
        launch = asyncio.ensure_future(self._launch(layout, command, environ))
        try:
            await asyncio.shield(launch)
        except asyncio.CancelledError:  # not in the middle, where nobody knows whether it runs
            await asyncio.wait([launch])
            await self.stop(spec.kernel_id, 0.0)
            raise

    async def stop(self, kernel_id: KernelId, grace_s: float) -> None:
        """Send SIGTERM to the process group, SIGKILL after the grace; processes that left the group are killed last."""
        ids = ProcessIds.read(KernelLayout(self._data, kernel_id).state)
        if ids is not None:
            await self._stop_shim(kernel_id, ids, grace_s)
        await self._end_kernel(kernel_id)

    async def _stop_shim(self, kernel_id: KernelId, ids: ProcessIds, grace_s: float) -> None:
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _SHIM_S)):
            if not ids.shim_alive:
                return
            ids.kill_group(number)
            if await self._exits.wait(kernel_id, ids.shim, wait_s):
                return
        with suppress(ProcessLookupError):
            os.kill(ids.shim, signal.SIGKILL)

    def _group(self, spec: KernelSpec) -> Path | None:
        """Create the control group that limits the kernel's memory."""
        limit = _limit(spec)
        if self._groups is None or not limit:
            return None
        try:
            return self._groups.make(spec.kernel_id, limit)
        except OSError as error:
            log.warning("memory_not_bounded", kernel_id=str(spec.kernel_id), error=error.strerror)
            return None

    async def _end_kernel(self, kernel_id: KernelId) -> None:
        """Kill the processes that its shim left behind."""
        await self._end_marked(kernel_id, _own_group(kernel_id, self._files.started(kernel_id)))

    async def _end_marked(self, kernel_id: object, group: Path | None = None) -> None:
        count = await asyncio.to_thread(kill_marked, str(kernel_id), group)
        if count:
            log.info("stray_processes_ended", kernel_id=str(kernel_id), count=count)

    async def _end_strays(self, found: Mapping[KernelId, SeenKernel]) -> None:
        """Kill processes that outlived their shim (once per kernel) or their kernel's folder (once per agent)."""
        left = {kernel_id for kernel_id, seen in found.items() if seen.phase == "exited" and seen.exit_code is None}
        for kernel_id in left - self._swept:
            await self._end_kernel(kernel_id)
        self._swept = left
        if not self._looked_for_strays:
            self._looked_for_strays = True
            for stray in await asyncio.to_thread(orphaned_kernels, self._data, found):
                await self._end_marked(stray)
            if self._groups is not None:
                count = await asyncio.to_thread(self._groups.sweep, {str(kernel_id) for kernel_id in found})
                if count:
                    log.info("stray_processes_ended", kernel_id=None, count=count)

    async def remove(self, kernel_id: KernelId) -> None:
        """Kill what runs, then delete the kernel's folder."""
        layout = KernelLayout(self._data, kernel_id)
        group = _own_group(kernel_id, StartRecord.read(layout))
        await self.stop(kernel_id, 0.0)
        with suppress(OSError):  # what cannot be deleted must not keep the kernel
            await asyncio.to_thread(remove_tree, layout.folder)
        layout.lock.unlink(missing_ok=True)
        if group is not None:
            await asyncio.to_thread(remove, group)

    def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool) -> AsyncGenerator[Sequence[str], None]:
        """Read the shim's log files."""
        layout = KernelLayout(self._data, kernel_id)
        return read_log(layout.log, tail=tail, follow=follow, ended=lambda: not is_held(layout.lock))

    async def usage(self) -> Mapping[KernelId, Usage]:
        """Return CPU time and resident memory of each kernel's process tree; a process has no network counters of its own."""
        seen = await self.list()
        shims = {
            kernel_id: ids.shim
            for kernel_id, kernel in seen.items()
            if kernel.phase == "running" and (ids := self._files.ids(kernel_id)) is not None
        }
        return await asyncio.to_thread(self._measure, shims)

    def _measure(self, shims: Mapping[KernelId, int]) -> dict[KernelId, Usage]:
        """Sum up each process tree. Unreclaimable memory is measured only where the total is above the limit."""
        measured, now = trees(shims.values()), time.monotonic()
        found = {}
        for kernel_id, shim in shims.items():
            if shim in measured:
                cpu_s, mem_bytes = measured[shim]
                started = self._files.started(kernel_id)
                # Where its start does not say, its processes are looked at in the cheap way.
                limit = started.mem_bytes if started is not None and started.mem_bytes is not None else mem_bytes
                held = held_memory(shim, limit) if 0 < limit <= mem_bytes else None
                found[kernel_id] = Usage(now, cpu_s, mem_bytes, held_bytes=held)
        return found

    async def port_problem(self, kernel_id: KernelId, port: int) -> PortProblem | None:
        """Compare the owners of the listening sockets on the port with the kernel's processes."""
        if self._listeners.is_own(kernel_id, port):
            return None
        ids = self._files.ids(kernel_id)
        if ids is None:
            return PortProblem("its program has not begun", foreign=False)
        return await asyncio.to_thread(self._listeners.problem, kernel_id, ids.shim, port)

    async def ports_elsewhere(self) -> str | None:
        """Return None: programs listen where the agent is."""
        return None

    async def listens(self, spec: KernelSpec, port: int) -> str | None:
        """Return the listening sockets of the kernel's own processes, as text."""
        ids = self._files.ids(spec.kernel_id)
        found = [] if ids is None else await asyncio.to_thread(listeners_of, spec.kernel_id, ids.shim)
        if not found:
            return None
        instead = "" if port == spec.port else f" (on this machine in place of {spec.port}; it is in its variable PORT)"
        return f"its processes listen on {in_words(found)}, and its port is {port}{instead}"

    async def isolation(self) -> Isolation:
        """Return that there is no isolation between kernels."""
        text = "kernels run as the agent's own account: each may read what the account may, and reach all that the machine reaches"
        text += "; control groups bound their memory" if self._groups else "; nothing bounds their memory"
        return Isolation(level="none", text=text)

    async def watch(self, poke: Callable[[], None]) -> None:
        """Poke when a shim exits; pidfds report it at once."""
        await self._exits.watch(poke)

    def _make(self, layout: KernelLayout, spec: KernelSpec, prepared: Prepared) -> None:
        layout.make(prepared)
        StartRecord(
            spec.session_id, spec.service_id, prepared.host_port, datetime.now(UTC), _limit(spec), self._group(spec)
        ).write(layout)

    async def _launch(self, layout: KernelLayout, command: Sequence[str], environ: Mapping[str, str]) -> None:
        try:
            process = await self._shim(layout, command, environ)
        except OSError as error:
            raise StartRefused(
                KernelReason.START_FAILED, f"the program could not be started: {error.strerror}"
            ) from error
        try:
            async with asyncio.timeout(_SHIM_S):
                said = await process.stdout.readline() if process.stdout else b""
                await process.wait()  # it forks and ends at once
        except TimeoutError as error:
            raise RuntimeUnavailable(f"the program's shim did not answer within {_SHIM_S:g} s") from error
        answer = said.decode("utf-8", "replace").strip()
        if answer not in {"ok", "running already"}:
            raise StartRefused(
                KernelReason.START_FAILED, f"the program could not be started: {answer or 'its shim ended'}"
            )
        ids = ProcessIds.read(layout.state)
        if ids is not None:
            self._exits.add(layout.kernel_id, ids.shim)

    async def _shim(self, layout: KernelLayout, command: Sequence[str], environ: Mapping[str, str]) -> Process:
        started = StartRecord.read(layout)
        group = str(procs_of(started.group)) if started is not None and started.group is not None else NO_GROUP
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(SHIM),
            str(layout.folder),
            str(layout.lock),
            str(self._log_bytes),
            str(layout.here(HOME)),
            group,
            *command,
            env=dict(environ),
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )

    def _look(self, name: str) -> SeenKernel | None:
        """Return the observed state of the kernel in folder `name`, and watch for its exit from now on."""
        try:
            kernel_id = KernelId(UUID(name))
        except ValueError:  # none of ours
            return None
        seen = self._files.observe(kernel_id)
        ids = self._files.ids(kernel_id) if seen is not None and seen.phase == "running" else None
        if ids is not None:
            self._exits.add(kernel_id, ids.shim)
        return seen


def _own_group(kernel_id: KernelId, started: StartRecord | None) -> Path | None:
    """Return the kernel's control group. The program can write the file, so it may name no other group."""
    group = started.group if started is not None else None
    own = group is not None and group.name.startswith("headrace-") and group.name.endswith(str(kernel_id))
    return group if own else None


def _limit(spec: KernelSpec) -> int:
    return int(spec.slots.get(MEM) or 0)


def _command(spec: KernelSpec, rewriting: CommandRewriter) -> tuple[str, ...]:
    """Return the words of the command. A program given by a path that exists on this machine is not rewritten."""
    words = rewriting.command(spec.command)
    program = spec.command[0]
    if program.startswith("/") and os.access(program, os.X_OK) and not os.access(words[0], os.X_OK):
        return (program, *words[1:])
    return words
