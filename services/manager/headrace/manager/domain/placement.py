"""Which machine a session goes to. Pure: machines and pending sessions in, placements and reasons out.

- A machine fits if it is in the group, of the architecture, runs the kind of kernel, and has the slots free.
- Pack: the most used machine that fits is taken (free GPUs, then free CPU and memory), so that large sessions find room.
- Whole GPUs and fractions are never mixed on one GPU; a fraction goes to the fullest GPU that still has it.
- First come, first served, and what does not fit is passed over, until it has waited `RESERVE_AFTER`: then the machine
  where it will fit soonest is kept for it, and younger sessions are told so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.slots import GPU_DEVICE, GPU_SHARES, MEM

RESERVE_AFTER = timedelta(seconds=60)
_ZERO, _ONE = Decimal(0), Decimal(1)
_GPU_SLOTS = (GPU_DEVICE, GPU_SHARES)


@dataclass
class Machine:
    """A machine that is heard of: what is free on it. Changed by place_all(); give it a fresh one each time."""

    id: str
    resource_group: str
    architecture: str
    runtime: str
    free: dict[str, Decimal]
    """Counted slots, without GPUs."""
    total: Mapping[str, Decimal]
    gpus: dict[str, Decimal] = field(default_factory=dict)
    """GPU → share that is free."""
    whole: set[str] = field(default_factory=set)
    """GPUs that are held whole."""
    kept_for: SessionId | None = None


@dataclass(frozen=True)
class Request:
    """A pending session."""

    id: SessionId
    resource_group: str
    architecture: str | None
    needs_image: bool
    """It names no image, so only the process runtime can run it."""
    slots: Mapping[str, Decimal]
    created_at: datetime


@dataclass(frozen=True)
class Grant:
    """One GPU, whole (1 of cuda.device) or a share."""

    gpu_id: str
    slot: str
    amount: Decimal


@dataclass(frozen=True)
class Placement:
    """Where a session goes, and which GPUs it gets there."""

    id: SessionId
    machine_id: str
    slots: Mapping[str, Decimal]
    """Counted slots."""
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Waiting:
    """Why a session was not placed, with the arithmetic."""

    id: SessionId
    code: str
    text: str


def place_all(
    machines: Sequence[Machine], requests: Sequence[Request], now: datetime
) -> tuple[list[Placement], list[Waiting]]:
    """Place what fits, oldest first. Returns placements and, for each other session, why it waits."""
    order = sorted(machines, key=_most_used_first)
    starts: dict[object, int] = {}
    placed: list[Placement] = []
    waiting: list[Waiting] = []
    reserved: set[str] = set()
    for request in sorted(requests, key=lambda r: (r.created_at, r.id)):
        shape = (
            request.resource_group,
            request.architecture,
            request.needs_image,
            tuple(sorted(request.slots.items())),
        )
        found = _place(order, request, starts, shape)
        if found is not None:
            placed.append(found)
            continue
        waiting.append(_why(order, request))
        if (
            request.resource_group not in reserved
            and now - request.created_at >= RESERVE_AFTER
            and _reserve(order, request)
        ):
            reserved.add(request.resource_group)
            starts.clear()
    return placed, waiting


def _most_used_first(machine: Machine) -> tuple[Decimal, Decimal, Decimal, str]:
    gpus = sum(machine.gpus.values(), _ZERO)
    return (gpus, machine.free.get("cpu", _ZERO), machine.free.get(MEM, _ZERO), machine.id)


def _place(order: Sequence[Machine], request: Request, starts: dict[object, int], shape: object) -> Placement | None:
    """Take the first machine that fits. A machine that did not fit this shape before does not fit now: free only shrinks."""
    index = starts.get(shape, 0)
    while index < len(order):
        machine = order[index]
        if machine.kept_for in (None, request.id) and _obstacle(machine, request) is None:
            starts[shape] = index
            return _take(machine, request)
        index += 1
    starts[shape] = index
    return None


def _take(machine: Machine, request: Request) -> Placement:
    counted = {slot: amount for slot, amount in request.slots.items() if slot not in _GPU_SLOTS and amount > 0}
    for slot, amount in counted.items():
        machine.free[slot] -= amount
    grants = _grants(machine, request.slots) or ()
    for grant in grants:
        machine.gpus[grant.gpu_id] -= grant.amount
        if grant.slot == GPU_DEVICE:
            machine.whole.add(grant.gpu_id)
    return Placement(request.id, machine.id, counted, grants)


def _grants(machine: Machine, slots: Mapping[str, Decimal]) -> tuple[Grant, ...] | None:
    """Choose GPUs; None if there are not enough. A share above 1 takes GPUs fully and the rest on another."""
    whole = int(slots.get(GPU_DEVICE, _ZERO))
    unused = sorted(gpu for gpu, free in machine.gpus.items() if free == _ONE)
    if whole:
        return tuple(Grant(gpu, GPU_DEVICE, _ONE) for gpu in unused[:whole]) if len(unused) >= whole else None
    shares = slots.get(GPU_SHARES, _ZERO)
    grants: list[Grant] = []
    while shares >= _ONE:
        if not unused:
            return None
        grants.append(Grant(unused.pop(0), GPU_SHARES, _ONE))
        shares -= _ONE
    if shares > 0:
        taken = {grant.gpu_id for grant in grants}
        fitting = [
            (free, gpu)
            for gpu, free in machine.gpus.items()
            if free >= shares and gpu not in taken and gpu not in machine.whole
        ]
        if not fitting:
            return None
        grants.append(Grant(min(fitting)[1], GPU_SHARES, shares))
    return tuple(grants)


def _obstacle(machine: Machine, request: Request) -> tuple[str, str] | None:
    """Return (code, words) for the first thing that keeps the session off this machine; None if it fits."""
    if machine.resource_group != request.resource_group:
        return "other-group", f"is in resource group {machine.resource_group}"
    if request.architecture not in (None, machine.architecture):
        return "other-architecture", f"is {machine.architecture}, the image is {request.architecture}"
    if request.needs_image and machine.runtime != "process":
        return "no-image", f"runs containers ({machine.runtime}), and the service names no image"
    for slot, amount in request.slots.items():
        if slot not in _GPU_SLOTS and amount > machine.free.get(slot, _ZERO):
            free, total = machine.free.get(slot, _ZERO), machine.total.get(slot, _ZERO)
            return (
                "insufficient-slots",
                f"needs {_words(slot, amount)}, {_words(slot, free)} of {_words(slot, total)} free",
            )
    if any(request.slots.get(slot) for slot in _GPU_SLOTS) and _grants(machine, request.slots) is None:
        unused = sum(free == _ONE for free in machine.gpus.values())
        if request.slots.get(GPU_DEVICE):
            return (
                "insufficient-gpus",
                f"needs {request.slots[GPU_DEVICE]} whole GPUs, {unused} of {len(machine.gpus)} free",
            )
        most = max((free for gpu, free in machine.gpus.items() if gpu not in machine.whole), default=_ZERO)
        return (
            "insufficient-gpus",
            f"needs {request.slots[GPU_SHARES]} GPU shares, the freest of {len(machine.gpus)} GPUs has {most}",
        )
    return None


def _words(slot: str, amount: Decimal) -> str:
    if slot == MEM:
        return f"{float(amount) / 2**30:.4g} GiB"
    return f"{amount.normalize():f} {slot}"


def _why(order: Sequence[Machine], request: Request) -> Waiting:
    """Say why no machine fits: the nearest misses one by one, the rest as a count."""
    if not order:
        return Waiting(request.id, "no-machines", "no machine is alive; add one or start its agent")
    misses = []
    for machine in order:
        obstacle = _obstacle(machine, request)
        if obstacle is None:
            obstacle = ("kept-for-older", f"is kept for session {machine.kept_for}, which has waited longer")
        misses.append((machine.id, *obstacle))
    nearest = sorted(misses, key=lambda miss: (_NEARNESS.index(miss[1]), miss[0]))
    shown = "; ".join(
        f"{machine} {words}" if words[0] in "ir" else f"{machine}: {words}" for machine, _, words in nearest[:5]
    )
    more = f"; and {len(nearest) - 5} more machines do not fit" if len(nearest) > 5 else ""
    return Waiting(request.id, nearest[0][1], f"no machine fits: {shown}{more}")


_NEARNESS = (
    "kept-for-older",
    "insufficient-gpus",
    "insufficient-slots",
    "no-image",
    "other-architecture",
    "other-group",
)


def _reserve(order: Sequence[Machine], request: Request) -> bool:
    """Keep the machine with the most free room, of those where the session fits once they are empty."""
    able = [m for m in order if m.kept_for is None and _fits_when_empty(m, request)]
    if not able:
        return False
    max(able, key=_most_used_first).kept_for = request.id
    return True


def _fits_when_empty(machine: Machine, request: Request) -> bool:
    counted = {slot: amount for slot, amount in machine.total.items() if slot not in _GPU_SLOTS}
    empty = Machine(
        machine.id,
        machine.resource_group,
        machine.architecture,
        machine.runtime,
        counted,
        machine.total,
        dict.fromkeys(machine.gpus, _ONE),
    )
    return _obstacle(empty, request) is None
