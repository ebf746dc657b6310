"""Start of a kernel: folders, host port, runtime, pre-start actions; each step is reported as the kernel's reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import count

import structlog

from headrace.agent.disk import DiskMonitor
from headrace.agent.domain.kernels import KernelRecord, with_log
from headrace.agent.domain.transfer_words import transfer_words
from headrace.agent.folders import Folders
from headrace.agent.hostports import HostPorts
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.metrics import START_SECONDS
from headrace.agent.prestart import run_actions
from headrace.agent.runtime.environment import overridden
from headrace.agent.runtime.interface import (
    Before,
    KernelShell,
    PortTaken,
    Prepared,
    Runtime,
    RuntimeUnavailable,
    StartRefused,
)
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Transfer
from headrace.common.contracts.reasons import MAX_QUOTED, Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.runtime.clock import Clock
from headrace.common.runtime.disk import is_full

log = structlog.get_logger()
_PORT_TRIES = 3
_DISK_POLL_S = 1.0
_RELIEVE_EVERY = 30
"""Polls of a full disk from one look at what the folder cache could give back to the next."""


class Starter:
    """Starts kernels, `concurrency` at a time."""

    def __init__(
        self,
        runtime: Runtime,
        table: KernelRegistry,
        folders: Folders,
        ports: HostPorts,
        disk: DiskMonitor,
        *,
        concurrency: int,
        prestart_timeout: timedelta,
        simulated_gpus: bool,
        now: Clock,
        ports_closed: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        """`ports_closed`: returns why replica ports are open to all although they are to be closed; None when they are closed."""
        self._runtime = runtime
        self._table = table
        self._folders = folders
        self._ports = ports
        self._disk = disk
        self._slots = asyncio.Semaphore(concurrency)
        self._prestart_timeout_s = prestart_timeout.total_seconds()
        self._simulated_gpus = simulated_gpus
        self._now = now
        self._ports_closed = ports_closed

    async def start(self, spec: KernelSpec) -> None:
        """Start the kernel, or record why it cannot be started. Waits under disk pressure, and reports that.

        Raises RuntimeUnavailable; a later pass tries again.
        """
        self._table.put(KernelRecord(spec=spec))
        with self._failures_noted(spec):
            await self._room(spec)
            await self._folders.fetch(spec, partial(self._say_transfer, spec))
            while True:
                await self._room(spec)
                self._say(spec, KernelReason.QUEUED, "waits for other starts on this machine")
                async with self._slots:
                    if self._disk.shortage() is None:
                        await self._timed(spec)
                        return

    async def _room(self, spec: KernelSpec) -> None:
        for poll in count():
            shortage = self._disk.shortage()
            if shortage is None:
                return
            self._say(spec, KernelReason.DISK_LOW, shortage)
            if poll % _RELIEVE_EVERY == 0:
                await self._folders.relieve()
            await asyncio.sleep(_DISK_POLL_S)

    async def _timed(self, spec: KernelSpec) -> None:
        started = time.monotonic()
        outcome = "failed"
        try:
            await self._start(spec)
            outcome = "started"
            log.info("kernel_started", kernel_id=str(spec.kernel_id), name=spec.name)
        finally:
            START_SECONDS.labels(outcome).observe(time.monotonic() - started)

    @contextmanager
    def _failures_noted(self, spec: KernelSpec) -> Iterator[None]:
        try:
            yield
        except StartRefused as refused:
            if is_full(refused.__cause__):
                raise RuntimeUnavailable(f"the disk is full: {refused.reason.text}") from refused
            reason = refused.reason
            if reason.code != KernelReason.PRE_START_ACTION_FAILED:  # whose log repeats what the reason says
                reason = with_log(reason, self._table.prestart_log(spec.kernel_id).lines()[-10:])
            log.warning("kernel_start_failed", kernel_id=str(spec.kernel_id), name=spec.name, reason=reason.code)
            self._table.change(spec.kernel_id, failure=reason, host_port=None)
        except RuntimeUnavailable:
            raise
        except (
            Exception
        ) as error:  # the start's boundary: whoever waits for the replica must hear that it does not come
            if is_full(error):
                raise RuntimeUnavailable("the disk is full") from error
            log.exception("kernel_start_crashed", kernel_id=str(spec.kernel_id), name=spec.name)
            self._note_broken(spec, error)

    def _note_broken(self, spec: KernelSpec, error: Exception) -> None:
        record = self._table.records.get(spec.kernel_id)
        if record is not None and record.started_at is None:  # else it runs, and only writing that down failed
            text = f"the agent could not start it: {str(error)[:MAX_QUOTED] or type(error).__name__}; the agent's log says more"
            self._table.change(spec.kernel_id, failure=Reason.of(KernelReason.START_FAILED, text), host_port=None)

    async def _start(self, spec: KernelSpec) -> None:
        if self._ports_closed is not None and (why := await self._ports_closed()) is not None:
            raise StartRefused(KernelReason.ISOLATION_UNAVAILABLE, why)
        self._say(spec, KernelReason.PREPARING, "looking for its folders")
        ignored = overridden(spec.environ)
        if ignored:
            log.warning(
                "reserved_variables_overridden", kernel_id=str(spec.kernel_id), name=spec.name, variables=ignored
            )
        mounts = await asyncio.to_thread(self._folders.mounts, spec)
        for attempt in range(1, _PORT_TRIES + 1):
            port = self._ports.choose(self._table.ports_taken)
            self._table.put(KernelRecord(spec=spec, host_port=port))
            prepared = Prepared(
                port,
                mounts,
                self._simulated_gpus,
                progress=lambda text: self._say(spec, KernelReason.PREPARING, text),
                release_port=partial(self._ports.release, port),
            )
            try:
                await self._runtime.start(spec, prepared, self._before(spec, prepared))
                break
            except PortTaken:
                if attempt == _PORT_TRIES:
                    raise
            finally:
                self._ports.release(port)
        self._table.change(spec.kernel_id, started_at=self._now())

    def _before(self, spec: KernelSpec, prepared: Prepared) -> Before | None:
        if not spec.pre_start_actions:
            return None
        prestart_log = self._table.prestart_log(spec.kernel_id)

        async def act(inside: KernelShell) -> None:
            prestart_log.begin()
            await run_actions(
                spec.pre_start_actions,
                inside,
                prestart_log,
                command_timeout_s=self._prestart_timeout_s,
                progress=prepared.progress,
            )

        return act

    def _say_transfer(self, spec: KernelSpec, transfer: Transfer) -> None:
        reason = Reason.of(KernelReason.FETCHING_FOLDER, transfer_words(transfer))
        self._table.progress(spec.kernel_id, "start", reason, transfer)

    def _say(self, spec: KernelSpec, code: KernelReason, text: str) -> None:
        self._table.progress(spec.kernel_id, "start", Reason.of(code, text))
