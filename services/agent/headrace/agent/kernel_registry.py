"""Registry of kernels: records (also on disk), observed state from the runtime, and operations in progress."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from uuid import UUID

import structlog
from pydantic import ValidationError

from headrace.agent.domain.kernels import KernelRecord, Operation, Progress, SeenKernel, report_of, unplanned
from headrace.agent.domain.memory import MemoryOverLimit
from headrace.agent.metrics import DISK_WRITES_FAILED
from headrace.agent.prestart import PrestartLog
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.reports import KernelReport, Transfer
from headrace.common.contracts.reasons import Reason
from headrace.common.runtime.files import write_atomically

log = structlog.get_logger()


class KernelRegistry:
    """Registry of the agent's kernels. `on_change` is called after each change that a report would show.

    A record that could not be written to disk is valid all the same, and save() tries again: a running kernel needs no
    disk. Should the agent exit before that, its successor adopts the kernel by what the runtime shows.
    """

    def __init__(self, folder: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self.on_change = on_change
        self.seen: Mapping[KernelId, SeenKernel] = {}
        self.over: Mapping[KernelId, MemoryOverLimit] = {}
        """Kernels that use more memory than their slot, as of the last measurement."""
        self._records: dict[KernelId, KernelRecord] = {}
        self._progress: dict[KernelId, Progress] = {}
        self._unsaved: set[KernelId] = set()

    @property
    def records(self) -> Mapping[KernelId, KernelRecord]:
        """Record of every kernel that the agent started or tried to start, until it is removed."""
        return self._records

    @property
    def busy(self) -> Mapping[KernelId, Operation]:
        """Operations in progress."""
        return {kernel_id: progress.operation for kernel_id, progress in self._progress.items()}

    @property
    def ports_taken(self) -> set[int]:
        """Host ports of all kernels."""
        held = {record.host_port for record in self._records.values()} | {seen.port for seen in self.seen.values()}
        return {port for port in held if port is not None}

    def load(self) -> None:
        """Read the records from disk. One that cannot be read is skipped: its kernel is adopted through the plan."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.glob("*/record.json"):
            try:
                record = KernelRecord.model_validate_json(path.read_bytes())
                self._records[KernelId(UUID(path.parent.name))] = record
            except (OSError, ValueError, ValidationError) as error:
                log.warning("kernel_record_unreadable", kernel_id=path.parent.name, error=type(error).__name__)

    def put(self, record: KernelRecord) -> None:
        """Store `record`, also on disk; never raises for a disk error."""
        if self._records.get(record.spec.kernel_id) == record:
            return
        self._records[record.spec.kernel_id] = record
        self._save(record)
        self.on_change()

    def save(self) -> None:
        """Retry records whose write to disk failed."""
        for kernel_id in tuple(self._unsaved):
            if not self._save(self._records[kernel_id]):
                return  # the others would fare the same

    def _save(self, record: KernelRecord) -> bool:
        kernel_id = record.spec.kernel_id
        folder = self._folder / str(kernel_id)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(folder / "record.json", record.model_dump_json().encode(), durable=False)
        except OSError as error:
            DISK_WRITES_FAILED.inc()
            if kernel_id not in self._unsaved:
                log.warning("kernel_record_not_saved", kernel_id=str(kernel_id), error=error.strerror)
            self._unsaved.add(kernel_id)
            return False
        self._unsaved.discard(kernel_id)
        return True

    def change(self, kernel_id: KernelId, **changes: object) -> None:
        """Update fields of a record; does nothing if it is gone."""
        record = self._records.get(kernel_id)
        if record is not None:
            self.put(record.model_copy(update=changes))

    def forget(self, kernel_id: KernelId) -> None:
        """Delete a kernel's record and the agent's files of it."""
        self._records.pop(kernel_id, None)
        self._unsaved.discard(kernel_id)
        self.seen = {key: value for key, value in self.seen.items() if key != kernel_id}
        shutil.rmtree(self._folder / str(kernel_id), ignore_errors=True)
        self.on_change()

    def progress(
        self, kernel_id: KernelId, operation: Operation, reason: Reason, transfer: Transfer | None = None
    ) -> None:
        """Set the current step of an operation."""
        self._progress[kernel_id] = Progress(operation, reason, transfer)
        self.on_change()

    def done(self, kernel_id: KernelId) -> None:
        """Clear the operation of a kernel."""
        self._progress.pop(kernel_id, None)
        self.on_change()

    def observe(self, seen: Mapping[KernelId, SeenKernel]) -> None:
        """Set the observed state of all kernels."""
        if dict(seen) != dict(self.seen):
            self.seen = seen
            self.on_change()

    def observe_memory(self, over: Mapping[KernelId, MemoryOverLimit]) -> None:
        """Set which kernels use more memory than their slot."""
        if over == self.over:
            return
        for kernel_id in over.keys() - self.over.keys():
            log.warning("memory_over_limit", kernel_id=str(kernel_id), text=over[kernel_id].reason.text)
        self.over = over
        self.on_change()

    def prestart_log(self, kernel_id: KernelId) -> PrestartLog:
        """Return the kernel's log of the pre-start actions."""
        return PrestartLog(self._folder / str(kernel_id) / "prestart.log")

    def reports(self, plan: Container[KernelId] | None = None) -> tuple[KernelReport, ...]:
        """Return the KernelReport of every kernel. `plan`: the kernels of the newest plan; None before the first."""
        ids = sorted({*self._records, *self.seen}, key=str)
        found = (
            report_of(i, self._records.get(i), self.seen.get(i), self._progress.get(i), self.over.get(i)) for i in ids
        )
        return tuple(
            report if plan is None or report.kernel_id in plan else unplanned(report)
            for report in found
            if report is not None
        )
