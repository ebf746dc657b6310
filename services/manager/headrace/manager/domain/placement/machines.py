"""Input and output types of the scheduler: machines, pending sessions, placements and failures.

They are apart from it so that the store can use them without the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.manager.domain.cordon import Cordon

PLAN = "plan-kib"
"""Internal slot: KiB of the machine's plan, which is one bus message. It is counted in placement and not stored."""
PLAN_KIB = 5_500
"""Plan size available for placement, of the 7.9 MB that the bus carries: the rest is for sessions placed while a plan
is being published."""
KERNEL_BYTES = 800
"""Size of a kernel in a plan, without its spec."""
_STEP_KIB = 4


def with_plan(slots: Mapping[str, Decimal], spec_bytes: int) -> dict[str, Decimal]:
    """Return the slots plus the session's share of its machine's plan, rounded up in steps, so that most sessions are alike."""
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
    """Free counted slots, without GPUs. Negative when the machine shrank below what is allocated."""
    total: Mapping[str, Decimal]
    gpus: Mapping[str, Decimal] = field(default_factory=dict)
    """GPU → free share."""
    whole: AbstractSet[str] = field(default_factory=frozenset)
    """GPUs that are allocated whole."""
    leaving: Mapping[str, Decimal] = field(default_factory=dict)
    """Counted slots of sessions that end by themselves: leaving ones and trial runs."""
    leaving_gpus: Mapping[str, Decimal] = field(default_factory=dict)
    """GPU → share of such sessions."""
    disk_low: bool = False
    """Whether it is under disk pressure: its agent starts nothing."""
    address_refused: bool = False
    """Whether its reported address is refused: nobody would reach a replica there."""
    plan_key: bool = True
    """Whether its agent reports a key to which plans are encrypted: without one it is sent no secrets."""
    cordon: Cordon | None = None
    """Set where an operator lets nothing new be placed."""


@dataclass(frozen=True)
class Request:
    """A pending session."""

    id: SessionId
    resource_group: str
    architecture: str | None
    without_image: bool
    """Whether it has no image, so that only the process runtime can run it."""
    slots: Mapping[str, Decimal]
    """`cuda.device` (a whole number) or `cuda.shares`, not both; everything else is counted."""
    created_at: datetime
    has_secrets: bool = False
    """Whether its plan has secrets, so that only a machine with a key for it can run it."""


@dataclass(frozen=True)
class Grant:
    """Grant of one GPU: whole (1 of cuda.device) or a share."""

    gpu_id: str
    slot: str
    amount: Decimal


@dataclass(frozen=True)
class Placement:
    """Machine of a session, with the GPUs granted there."""

    id: SessionId
    machine_id: str
    slots: Mapping[str, Decimal]
    """Counted slots."""
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Unplaced:
    """Placement failure: the reason, with numbers, why a session stays pending."""

    id: SessionId
    code: PlacementReason
    text: str
