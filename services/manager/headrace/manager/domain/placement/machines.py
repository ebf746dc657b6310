"""Input and output of the scheduler: machines, pending sessions, placements and reasons.

They are apart from it so that the store can read and write them without knowing how it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason

PLAN = "plan-kib"
"""A slot that nobody asks for by name: KiB of the machine's plan, which is one message. It is counted in placement and not kept."""
PLAN_KIB = 7_000
"""Of the 7.9 MB that the bus carries: what is placed while a plan is on its way has room besides."""
KERNEL_BYTES = 800
"""Of a kernel in a plan, beside its spec."""
_STEP_KIB = 4


def with_plan(slots: Mapping[str, Decimal], spec_bytes: int) -> dict[str, Decimal]:
    """Return the slots with what the session takes of a machine's plan, in whole steps, so that most sessions are alike."""
    steps = -(-(spec_bytes + KERNEL_BYTES) // (_STEP_KIB * 1024))
    return {**slots, PLAN: Decimal(steps * _STEP_KIB)}


@dataclass(frozen=True)
class Machine:
    """A live machine with its free capacity."""

    id: str
    resource_group: str
    architecture: str
    runtime: str
    free: Mapping[str, Decimal]
    """Counted slots, without GPUs. Below zero when the machine shrank under what it holds."""
    total: Mapping[str, Decimal]
    gpus: Mapping[str, Decimal] = field(default_factory=dict)
    """GPU → share that is free."""
    whole: AbstractSet[str] = field(default_factory=frozenset)
    """GPUs that are held whole."""
    leaving: Mapping[str, Decimal] = field(default_factory=dict)
    """Counted slots held by sessions that end by themselves: on their way out, or trial runs."""
    leaving_gpus: Mapping[str, Decimal] = field(default_factory=dict)
    """GPU → share that these hold."""
    disk_low: bool = False
    """Its agent starts nothing, because less than its reserve is free on the disk."""
    address_refused: bool = False
    """It says that it is at an address that is not allowed for it: nobody would reach what runs there."""


@dataclass(frozen=True)
class Request:
    """A pending session."""

    id: SessionId
    resource_group: str
    architecture: str | None
    without_image: bool
    """It names no image, so only the process runtime can run it."""
    slots: Mapping[str, Decimal]
    """`cuda.device` (a whole number) or `cuda.shares`, not both; everything else is counted."""
    created_at: datetime


@dataclass(frozen=True)
class Grant:
    """One GPU, whole (1 of cuda.device) or a share."""

    gpu_id: str
    slot: str
    amount: Decimal


@dataclass(frozen=True)
class Placement:
    """A placement: the machine of a session, and the GPUs that it gets there."""

    id: SessionId
    machine_id: str
    slots: Mapping[str, Decimal]
    """Counted slots."""
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Waiting:
    """A placement failure: why a session waits, with the arithmetic."""

    id: SessionId
    code: PlacementReason
    text: str
