"""Reconcile loop of kernels: starts and stops until the runtime shows what the newest plan has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Final

import structlog

from headrace.agent.archive import LogArchive
from headrace.agent.domain.convergence import (
    Action,
    CancelStart,
    ConvergenceInput,
    Evict,
    MarkLost,
    Remove,
    Start,
    Stop,
    decide,
)
from headrace.agent.domain.kernels import LOST, UNPLANNED, KernelRecord, Operation, SeenKernel, ending_of
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.metrics import OPERATIONS
from headrace.agent.plans import Plans
from headrace.agent.reconcile.starting import Starter
from headrace.agent.runtime.interface import Runtime, RuntimeUnavailable
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
_TAIL_LINES = 20
_TAIL_S = 0.15
"""Timeout for reading the end of an exited kernel's log; the report of its exit must not wait longer."""
TAIL_TRIES = 40
"""How often the end of one kernel's log is asked for, in a pass each, until it comes in time."""

_BEGUN: Final[Mapping[Operation, Reason]] = {
    "start": Reason.of(KernelReason.PREPARING, "its start has begun"),
    "stop": UNPLANNED,
    "remove": Reason.of(KernelReason.REMOVING, "its remains are being removed"),
}
_AGENT_STOPPED: Final = Reason.of(
    KernelReason.AGENT_STOPPED, "its machine's agent was stopped, and stopped it in order"
)


class Converger:
    """Reconciler of kernels. Operations run beside the passes and never block them."""

    name = "converge"

    def __init__(
        self,
        runtime: Runtime,
        plans: Plans,
        table: KernelRegistry,
        starter: Starter,
        archive: LogArchive,
        *,
        every: timedelta,
        first_sync: timedelta,
        stop_on_exit: timedelta | None,
        evict_over_memory: bool = False,
    ) -> None:
        self._runtime = runtime
        self._plans = plans
        self._table = table
        self._starter = starter
        self._archive = archive
        self._first_sync = first_sync
        self._stop_on_exit = stop_on_exit
        self._evict_over_memory = evict_over_memory
        self._loop = Loop("converge", self._one_pass, every=every)
        self._operations: dict[KernelId, asyncio.Task[None]] = {}
        self._unread: dict[KernelId, int] = {}
        """Exited kernels the end of whose log did not come in time, and how often it was asked for."""
        self._group: asyncio.TaskGroup
        self._stopped = asyncio.Event()
        self._may_start = False
        self.after_change: Callable[[], None] = lambda: None
        """Callback when the set of running kernels may have changed."""
        self._exiting = False
        self.has_looked = False
        """Whether the runtime's kernels were listed at least once."""
        self.runtime_error: str | None = "not looked yet"
        """Error of the runtime while its kernels cannot be listed; None when they can."""

    def poke(self) -> None:
        """Request a pass soon."""
        self._loop.poke()

    def stop(self) -> None:
        """Make run() return."""
        self._stopped.set()
        self._loop.stop()

    async def run(self) -> None:
        """Reconcile until stop(); then, if so set, stop all kernels, each within its grace."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            watcher = group.create_task(self._runtime.watch(self.poke), name="watch")
            patience = group.create_task(self._wait_for_a_plan(), name="first-sync")
            await self._loop.run()
            patience.cancel()
            for task in self._operations.values():
                task.cancel()
            await asyncio.gather(*self._operations.values(), return_exceptions=True)
            if self._stop_on_exit is not None:
                await self._stop_all(self._stop_on_exit.total_seconds())
            watcher.cancel()

    async def _wait_for_a_plan(self) -> None:
        """Delay starts from an old plan for a moment: a newer plan may be about to arrive."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._first_sync.total_seconds()):
                await self._plans.confirmed.wait()
        self._may_start = True
        self.poke()

    async def _one_pass(self) -> None:
        self._plans.save()
        self._table.save()
        busy_before = set(self._table.busy)
        try:
            seen = await self._runtime.list()
        except RuntimeUnavailable as problem:
            self.runtime_error = problem.detail
            log.warning("runtime_unavailable", why=problem.detail)
            return
        self.runtime_error = None
        await self._note(dict(seen))
        if not self.has_looked:
            self.has_looked = True
            self._table.on_change()  # the first report waited for this
        if self._stopped.is_set():
            return
        wanted = self._plans.wanted
        unsettled = frozenset(busy_before - set(self._table.busy))
        to_evict = (
            {kernel_id: over.end for kernel_id, over in self._table.over.items()} if self._evict_over_memory else {}
        )
        table = self._table
        world = ConvergenceInput(
            wanted,
            table.seen,
            table.records,
            table.busy,
            self._may_start,
            unsettled,
            to_evict,
            unreadable=tuple(self._plans.unreadable),
        )
        for action in decide(world):
            self._act(action)
        self.after_change()

    async def _note(self, seen: dict[KernelId, SeenKernel]) -> None:
        """Store the observed state: adopt running kernels without a record, record those that exited."""
        specs = self._plans.wanted or {}
        for kernel_id, kernel in seen.items():
            record = self._table.records.get(kernel_id)
            if kernel.phase == "created" or kernel_id in self._table.busy:
                continue
            if record is None and kernel_id in specs:
                record = KernelRecord(spec=specs[kernel_id], host_port=kernel.port)
            if record is None or record.failure is not None:
                continue
            if record.started_at is None:
                log.info("kernel_adopted", kernel_id=str(kernel_id), name=record.spec.name)
                record = record.model_copy(update={"started_at": kernel.created_at, "host_port": kernel.port})
            if record.ended_for == _AGENT_STOPPED and kernel.phase == "running" and not self._exiting:
                record = record.model_copy(update={"ended_for": None})  # it outlived the agent that was to stop it
            if kernel.phase == "exited" and (_is_news(kernel, record) or kernel_id in self._unread):
                tail = await self._tail(kernel_id)
                record = record.model_copy(update={"ending": ending_of(kernel, tail, record.ended_for)})
                log.info("kernel_ended", kernel_id=str(kernel_id), name=record.spec.name, exit_code=kernel.exit_code)
            self._table.put(record)
        self._unread = {kernel_id: tries for kernel_id, tries in self._unread.items() if kernel_id in seen}
        self._table.observe(seen)

    async def _tail(self, kernel_id: KernelId) -> list[str]:
        """Return the last lines of a kernel's log, as far as they come in time; the next pass asks for the others."""
        lines: list[str] = []
        tries = self._unread.pop(kernel_id, 0) + 1
        try:
            async with (
                asyncio.timeout(_TAIL_S),
                aclosing(self._runtime.logs(kernel_id, tail=_TAIL_LINES, follow=False)) as batches,
            ):
                async for batch in batches:
                    lines += batch
        except TimeoutError:
            if tries < TAIL_TRIES:
                self._unread[kernel_id] = tries
                self.poke()
        except RuntimeUnavailable:
            pass
        return lines

    def _act(self, action: Action) -> None:
        match action:
            case Start(spec):
                self._begin(spec.kernel_id, "start", lambda: self._starter.start(spec))
            case CancelStart(kernel_id):
                self._operations[kernel_id].cancel()
            case Stop(kernel_id, grace_s):
                self._begin(kernel_id, "stop", lambda: self._runtime.stop(kernel_id, grace_s))
            case Remove(kernel_id):
                self._begin(kernel_id, "remove", lambda: self._remove(kernel_id))
            case Evict(kernel_id, reason):
                self._table.change(kernel_id, ended_for=reason)
                self._begin(kernel_id, "stop", lambda: self._runtime.stop(kernel_id, 0.0), reason)
            case MarkLost(kernel_id):
                log.warning("kernel_vanished", kernel_id=str(kernel_id))
                self._table.change(kernel_id, ending=LOST)

    def _begin(
        self, kernel_id: KernelId, operation: Operation, call: Callable[[], Awaitable[None]], why: Reason | None = None
    ) -> None:
        self._table.progress(kernel_id, operation, why or _BEGUN[operation])
        self._operations[kernel_id] = self._group.create_task(
            self._operate(kernel_id, operation, call), name=f"{operation}-{kernel_id}"
        )

    async def _operate(self, kernel_id: KernelId, operation: Operation, call: Callable[[], Awaitable[None]]) -> None:
        outcome = "failed"
        try:
            await call()
            outcome = "done"
        except asyncio.CancelledError:
            outcome = "cancelled"
        except RuntimeUnavailable as problem:
            log.warning("operation_delayed", operation=operation, kernel_id=str(kernel_id), why=problem.detail)
        except Exception:  # the operation's boundary, as a pass is the loop's: one kernel must not take the agent down
            log.exception("operation_failed", operation=operation, kernel_id=str(kernel_id))
        finally:
            OPERATIONS.labels(operation, outcome).inc()
            del self._operations[kernel_id]
            self._table.done(kernel_id)
            self.after_change()  # a pass may have seen its program run already: what is reported next tells its health
            if outcome != "failed":  # a failed one waits for the next periodic pass
                self.poke()

    async def _remove(self, kernel_id: KernelId) -> None:
        record = self._table.records.get(kernel_id)
        if record is not None and (record.started_at is not None or record.failure is not None):
            await self._archive.keep(kernel_id, self._runtime, self._table.prestart_log(kernel_id))
        await self._runtime.remove(kernel_id)
        self._table.forget(kernel_id)

    async def _stop_all(self, most_s: float) -> None:
        """Stop every running kernel, with SIGKILL after its grace, at most `most_s`; none of them failed, so that is why."""
        self._exiting = True
        with suppress(RuntimeUnavailable):  # with what the last starts made
            await self._note(dict(await self._runtime.list()))
        running = [kernel_id for kernel_id, seen in self._table.seen.items() if seen.phase == "running"]
        graces = {
            kernel_id: min(record.spec.stop_grace_s, most_s)
            if (record := self._table.records.get(kernel_id))
            else most_s
            for kernel_id in running
        }
        for kernel_id in running:
            record = self._table.records.get(kernel_id)
            if record is not None and record.ended_for is None:
                self._table.put(record.model_copy(update={"ended_for": _AGENT_STOPPED}))
        log.info("kernels_stop_requested", count=len(running))
        results = await asyncio.gather(
            *(self._runtime.stop(kernel_id, grace) for kernel_id, grace in graces.items()), return_exceptions=True
        )
        for problem in results:
            if isinstance(problem, Exception):
                log.error("kernel_not_ended", error=str(problem))
        with suppress(RuntimeUnavailable):
            await self._note(dict(await self._runtime.list()))


def _is_news(kernel: SeenKernel, record: KernelRecord) -> bool:
    """Return whether the exit is news: a runtime may learn the cause of an exit a moment after it."""
    if record.ending is None or record.ended_for is not None:
        return record.ending is None
    return kernel.exit_reason is not None and kernel.exit_reason.code != record.ending.reason.code
