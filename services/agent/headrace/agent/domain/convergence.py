"""Reconciliation of kernels: plan and observed state in, actions out.

The only place that decides which kernel starts or stops.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from headrace.agent.domain.kernels import KernelRecord, Operation, SeenKernel
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.reasons import Reason

DEFAULT_GRACE_S = 10.0
"""Stop grace of a kernel whose spec is not known any more."""


@dataclass(frozen=True, slots=True)
class ConvergenceInput:
    """One snapshot."""

    plan: Mapping[KernelId, KernelSpec] | None
    """The newest plan; None until any is known, and then nothing is started or stopped."""
    seen: Mapping[KernelId, SeenKernel]
    records: Mapping[KernelId, KernelRecord]
    busy: Mapping[KernelId, Operation]
    """Operations in progress."""
    may_start: bool = True
    """False while a newer plan may be about to arrive."""
    unsettled: frozenset[KernelId] = frozenset()
    """Kernels whose operation ended while the runtime was listed: `seen` may be older than that, so they wait for the
    next pass."""
    to_evict: Mapping[KernelId, Reason] = field(default_factory=dict)
    """Kernels to be killed although the plan has them, with the reason."""
    unreadable: Collection[KernelId] = ()
    """Kernels that the plan has besides, whose specs cannot be decrypted: what runs of them goes on, none is started anew."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start this kernel; leftovers of an interrupted attempt are replaced."""

    spec: KernelSpec


@dataclass(frozen=True, slots=True)
class CancelStart:
    """Cancel the start under way: the plan no longer has the kernel."""

    kernel_id: KernelId


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the kernel's program: SIGTERM, and SIGKILL after the grace."""

    kernel_id: KernelId
    grace_s: float


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a kernel that the plan no longer has and that does not run, with all its leftovers."""

    kernel_id: KernelId


@dataclass(frozen=True, slots=True)
class MarkLost:
    """Record that a started kernel vanished from the runtime; it is not started again."""

    kernel_id: KernelId


@dataclass(frozen=True, slots=True)
class Evict:
    """Kill a planned kernel at once, because it uses more memory than its slot; the manager replaces it."""

    kernel_id: KernelId
    reason: Reason


Action: TypeAlias = Start | CancelStart | Stop | Remove | MarkLost | Evict


def decide(world: ConvergenceInput) -> list[Action]:
    """Return the actions that make the machine equal to its plan; none once it is.

    A kernel runs at most once: one that exited, failed or vanished stays as it is until it leaves the plan, because the
    manager replaces it.
    """
    if world.plan is None:
        return []
    actions: list[Action] = []
    for kernel_id in sorted({*world.seen, *world.records, *world.busy} - world.unsettled, key=str):
        if kernel_id not in world.plan and kernel_id not in world.unreadable:
            actions += _unwanted(kernel_id, world)
    for kernel_id, spec in world.plan.items():
        if kernel_id not in world.unsettled:
            actions += _wanted(kernel_id, spec, world)
    for kernel_id in world.unreadable:
        record = world.records.get(kernel_id)
        if record is not None and kernel_id not in world.unsettled:  # its spec was known when it was first started
            actions += _wanted(kernel_id, record.spec, world)
    return actions


def _unwanted(kernel_id: KernelId, world: ConvergenceInput) -> list[Action]:
    operation = world.busy.get(kernel_id)
    if operation is not None:
        return [CancelStart(kernel_id)] if operation == "start" else []
    seen = world.seen.get(kernel_id)
    if seen is not None and seen.phase == "running":
        record = world.records.get(kernel_id)
        return [Stop(kernel_id, record.spec.stop_grace_s if record else DEFAULT_GRACE_S)]
    return [Remove(kernel_id)]


def _wanted(kernel_id: KernelId, spec: KernelSpec, world: ConvergenceInput) -> list[Action]:
    record = world.records.get(kernel_id)
    if kernel_id in world.busy or (record is not None and (record.failure or record.ending)):
        return []
    seen = world.seen.get(kernel_id)
    if seen is not None and seen.phase != "created":
        ends = kernel_id in world.to_evict and seen.phase == "running" and record is not None
        return [Evict(kernel_id, world.to_evict[kernel_id])] if ends else []
    if record is not None and record.started_at is not None:
        return [MarkLost(kernel_id)]
    return [Start(spec)] if world.may_start else []
