"""Kernel records: the agent's state of a kernel, and the report made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from headrace.agent.domain.health import Health, Policy, begin
from headrace.agent.domain.memory import MemoryOverLimit
from headrace.common.contracts.ids import KernelId, ServiceId, SessionId, SnapshotId
from headrace.common.contracts.messages.plans import KernelSpec, PlannedKernel
from headrace.common.contracts.messages.reports import KernelReport, Transfer
from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE, Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.vocabulary import HealthStatus

Phase = Literal["created", "running", "exited"]
"""created: something of it exists, but its program was never started."""
Operation = Literal["start", "stop", "remove"]


@dataclass(frozen=True, slots=True)
class SeenKernel:
    """Observed state of a kernel, as the runtime reports it."""

    kernel_id: KernelId
    session_id: SessionId
    service_id: ServiceId | None
    phase: Phase
    created_at: datetime
    host: str | None = None
    """Address at which other machines reach its port."""
    port: int | None = None
    exit_code: int | None = None
    exit_reason: Reason | None = None
    """Cause of the exit, where the runtime knows more than the exit code."""


class Ending(BaseModel):
    """How a kernel ended after it ran: reason and exit code."""

    model_config = ConfigDict(frozen=True)
    reason: Reason
    exit_code: int | None


class KernelRecord(BaseModel):
    """The agent's own record of a kernel; on disk, so that it survives a restart. Its environment may hold secrets."""

    model_config = ConfigDict(frozen=True)
    spec: KernelSpec
    host_port: int | None = None
    started_at: AwareDatetime | None = None
    """Start time of its program: set once, so that it is never started twice."""
    failure: Reason | None = None
    """Reason why it could not be started; final."""
    ended_for: Reason | None = None
    """Reason why the agent itself killed it although the plan has it."""
    ending: Ending | None = None
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """An operation in progress on a kernel, with its current step as a reason."""

    operation: Operation
    reason: Reason
    transfer: Transfer | None = None
    """Progress of the folder that its start waits for."""


def ending_of(seen: SeenKernel, last_lines: Sequence[str], ended_for: Reason | None = None) -> Ending:
    """Return the reason and exit code of an exited kernel, with the last lines of its log."""
    if ended_for is not None:
        reason = ended_for
    elif seen.exit_reason is not None:
        reason = seen.exit_reason
    elif seen.exit_code is None:
        reason = Reason.of(KernelReason.EXITED, "it ended; its exit code is not known")
    elif seen.exit_code > 128:
        reason = Reason.of(
            KernelReason.KILLED_BY_SIGNAL, f"it ended by signal {seen.exit_code - 128} (exit code {seen.exit_code})"
        )
    else:
        reason = Reason.of(KernelReason.EXITED, f"its program ended with exit code {seen.exit_code}")
    return Ending(reason=with_log(reason, last_lines), exit_code=seen.exit_code)


def with_log(reason: Reason, last_lines: Sequence[str]) -> Reason:
    """Return `reason` with as many of the last log lines appended as fit into its text, on one line."""
    text = reason.text[:MAX_TEXT_OF_ONE]
    room = MAX_TEXT_OF_ONE - len(text) - len("; last lines: ")
    lines = (line.partition(" ")[2].strip() for line in last_lines)
    tail = " | ".join(line for line in lines if line)
    if tail and room > 20:
        text += "; last lines: " + (tail if len(tail) <= room else "…" + tail[-(room - 1) :])
    return reason.model_copy(update={"text": text})


LOST = Ending(
    reason=Reason.of(KernelReason.VANISHED, "the runtime does not know it any more; it was removed by somebody else"),
    exit_code=None,
)


UNPLANNED = Reason.of(KernelReason.STOPPING, "it is not in the plan any more and is being stopped")


def report_of(
    kernel_id: KernelId,
    record: KernelRecord | None,
    seen: SeenKernel | None,
    progress: Progress | None,
    over: MemoryOverLimit | None = None,
) -> KernelReport | None:
    """Return the KernelReport of a kernel; None when nothing is known of it. `over`: it uses more memory than its slot."""
    if record is None:
        return None if seen is None else _unknown(seen)
    spec = record.spec
    ids = {"kernel_id": kernel_id, "session_id": spec.session_id, "service_id": spec.service_id}
    if record.failure is not None:
        return KernelReport(**ids, state="failed", health="unhealthy", reason=record.failure)
    if record.ending is not None:
        return KernelReport(
            **ids,
            state="exited",
            health="unhealthy",
            reason=record.ending.reason,
            exit_code=record.ending.exit_code,
            created_at=record.started_at,
        )
    if record.started_at is None or seen is None:
        waiting = Reason.of(KernelReason.QUEUED, "its start has not begun yet")
        return KernelReport(
            **ids,
            state="preparing",
            health="degraded",
            reason=progress.reason if progress is not None else waiting,
            transfer=progress.transfer if progress is not None else None,
        )
    status, reason, failures = _health(record, record.started_at, progress)
    if over is not None:
        reason = over.reason if status == "healthy" else _with(reason, over.reason)
    own = reason.code != KernelReason.PORT_TAKEN  # an address counts only while the kernel's own program listens there
    return KernelReport(
        **ids,
        state="running",
        health=status,
        reason=reason,
        host=seen.host if own else None,
        port=seen.port if own else None,
        created_at=record.started_at,
        failures=failures,
    )


def unplanned(report: KernelReport) -> KernelReport:
    """Return the report of a kernel that the plan does not have: while its program runs it is being stopped, and has no address."""
    if report.state != "running":
        return report
    return report.model_copy(update={"health": "unhealthy", "reason": UNPLANNED, "host": None, "port": None})


def _health(record: KernelRecord, started_at: datetime, progress: Progress | None) -> tuple[HealthStatus, Reason, int]:
    if record.health is None:
        if record.spec.role == "sub":
            return "healthy", Reason.of(KernelReason.NOT_PROBED, "only main kernels are probed"), 0
        # Its first check is about to be planned: what that plan will say is said now.
        return "degraded", begin(Policy.of(record.spec.health_check), started_at).reason, 0
    reason = progress.reason if progress is not None and progress.operation == "stop" else record.health.reason
    return record.health.status, reason, record.health.failures


def _with(reason: Reason, more: Reason) -> Reason:
    return reason.model_copy(update={"text": f"{reason.text}; {more.text}"[:MAX_TEXT_OF_ONE]})


def _unknown(seen: SeenKernel) -> KernelReport:
    """Return the report of a kernel that runs without a record of the agent; it is left alone until a plan names it."""
    running = seen.phase != "exited"
    return KernelReport(
        kernel_id=seen.kernel_id,
        session_id=seen.session_id,
        service_id=seen.service_id,
        state="running" if running else "exited",
        health="degraded" if running else "unhealthy",
        reason=Reason.of(KernelReason.AWAITING_PLAN, "found on the machine; no plan that names it was seen yet"),
        host=seen.host,
        port=seen.port,
        created_at=seen.created_at,
        exit_code=seen.exit_code,
    )


def undecrypted(kernel: PlannedKernel, why: str) -> KernelReport:
    """Return the report of a kernel that waits for a plan that can be decrypted."""
    return KernelReport(
        kernel_id=kernel.kernel_id,
        session_id=kernel.session_id,
        service_id=kernel.service_id,
        state="preparing",
        health="degraded",
        reason=Reason.of(KernelReason.PLAN_UNREADABLE, f"its start waits for a plan that can be decrypted: {why}"),
    )


def snapshots_in_use(
    plan: Mapping[KernelId, KernelSpec] | None,
    records: Mapping[KernelId, KernelRecord],
    seen: Mapping[KernelId, SeenKernel],
) -> set[SnapshotId] | None:
    """Return the snapshots of folders that planned or running kernels need; None when that is not known of all of them."""
    if plan is None or seen.keys() - plan.keys() - records.keys():
        return None
    specs = [*plan.values(), *(record.spec for record in records.values())]
    return {mount.snapshot_id for spec in specs for mount in spec.mounts if mount.snapshot_id is not None}
