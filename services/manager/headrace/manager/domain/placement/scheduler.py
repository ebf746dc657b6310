"""Which machine a session goes to. Pure: machines and pending sessions in, placements and reasons out.

- A machine fits if it is in the group, of the architecture, runs the kind of kernel, has room on its disk, is at an address
  that is allowed for it, and has all of the slots free.
- Pack: the machine is taken that fits and was the most used (fewest free GPUs, then least free CPU and memory) when the pass
  came to the first session that may go to the same machines, so that large sessions find room.
- Whole GPUs and fractions are never mixed on one GPU; a fraction goes to the fullest GPU that still has it.
- First come, first served, and what does not fit is passed over. Once it has waited `RESERVE_AFTER`, of the machines on
  which it will fit once those have gone that are about to (draining, stopping, trial runs), the one that has the most of what
  it asks for is kept for it: one machine for the oldest such session of each resource group, until it has waited for
  `RESERVE_UNTIL`. Younger sessions are told so. A machine that what stays there keeps too full is kept for nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.manager.domain.placement.candidate_index import CandidateIndex
from headrace.manager.domain.placement.capacity import Demand, NodeCapacity, ResourceScale
from headrace.manager.domain.placement.machines import Grant, Machine, Placement, Request, Waiting
from headrace.manager.domain.placement.placement_failure import ExcludedMachines, PlacementFailures

__all__ = [
    "RESERVE_AFTER",
    "RESERVE_UNTIL",
    "Grant",
    "Machine",
    "Placement",
    "Request",
    "Waiting",
    "place_all",
    "who_makes_room",
]

RESERVE_AFTER = timedelta(seconds=60)
RESERVE_UNTIL = timedelta(minutes=15)
"""Nobody else waits longer for a machine that is kept."""
_NOTHING_LEAVES = "none is kept for it, because nothing that is in its way is about to leave"
_NO_LONGER = "none is kept for it any more, because it has waited for more than 15 min"

_Eligibility = tuple[str, str | None, bool]
"""Resource group, architecture, and whether there is no image."""


def place_all(
    machines: Sequence[Machine], requests: Sequence[Request], now: datetime
) -> tuple[list[Placement], list[Waiting]]:
    """Place what fits, oldest first. Returns placements and, for each other session, why it waits.

    Reasons speak of what is free after all these placements. A session that is placed never takes a machine from an older
    one that would fit there.
    """
    candidates = _Candidates(machines, requests)
    placed: list[Placement] = []
    refused: list[tuple[Request, _DemandClass, str]] = []
    kept: dict[str, tuple[Request, NodeCapacity]] = {}
    for request in sorted(requests, key=lambda r: (r.created_at, r.id.int)):
        demand_class = candidates.demand_class(request)
        node = demand_class.next_node()
        if node is not None:
            grants = node.take(demand_class.demand, candidates.scale.one)
            placed.append(Placement(request.id, node.machine.id, demand_class.demand.counted, grants))
            continue
        note = ""
        if request.resource_group not in kept:
            keep, note = _keep(demand_class, now - request.created_at)
            if keep is not None:
                keep.kept = True
                kept[request.resource_group] = (request, keep)
        refused.append((request, demand_class, note))
    return placed, [
        _waiting(request, demand_class, note, kept.get(request.resource_group))
        for request, demand_class, note in refused
    ]


def who_makes_room(request: Request, without: Mapping[SessionId, Machine], now: datetime) -> set[SessionId]:
    """Return those in whose place alone the session would find a machine. `without`: each one's machine, had it gone."""
    return {occupant for occupant, machine in without.items() if place_all([machine], [request], now)[0]}


def _keep(demand_class: _DemandClass, waited: timedelta) -> tuple[NodeCapacity | None, str]:
    """Return the node to keep for a session that has waited so long, and what to tell it."""
    if waited < RESERVE_AFTER or not demand_class.possible():
        return None, ""
    if waited >= RESERVE_UNTIL:
        return None, _NO_LONGER
    keep = demand_class.to_keep()
    return (None, _NOTHING_LEAVES) if keep is None else (keep, f"{keep.machine.id} is kept for it")


def _waiting(
    request: Request, demand_class: _DemandClass, note: str, kept: tuple[Request, NodeCapacity] | None
) -> Waiting:
    code, text = demand_class.why(kept)
    return Waiting(request.id, code, f"{text}; {note}" if note else text)


class _DemandClass:
    """Sessions that ask for the same. A node that did not fit one of them fits none later: what is free only shrinks."""

    __slots__ = ("_nothing_leaves", "_possible", "_start", "_why", "demand", "pool")

    def __init__(self, pool: _Pool, demand: Demand) -> None:
        self.demand = demand
        self.pool = pool
        self._start = 0
        self._why: tuple[PlacementReason, str] | None = None
        self._possible: bool | None = None
        self._nothing_leaves = False

    def next_node(self) -> NodeCapacity | None:
        """Return the first node that fits and is kept for nobody."""
        index = self.pool.index
        at = index.first(self.demand, self._start)
        self._start = len(index.nodes) if at is None else at
        return None if at is None else index.nodes[at]

    def to_keep(self) -> NodeCapacity | None:
        """Return the node with the most of what is asked for, of those on which it will fit once those have left that are leaving.

        One that did not become large enough will not in this pass: what is free only shrinks.
        """
        if self._nothing_leaves:
            return None
        keep = self.pool.to_keep(self.demand)
        self._nothing_leaves = keep is None
        return keep

    def possible(self) -> bool:
        """Whether some machine would hold it when empty."""
        if self._possible is None:
            self._possible = self.pool.empty.first(self.demand, 0) is not None
        return self._possible

    def why(self, kept: tuple[Request, NodeCapacity] | None) -> tuple[PlacementReason, str]:
        """Return (code, text), made once for all sessions of this kind; call it when all are placed."""
        if self._why is None:
            self._why = self.pool.why(self.demand, kept, possible=self.possible())
        return self._why


class _Candidates:
    """All nodes, indexed by who may go there."""

    def __init__(self, machines: Sequence[Machine], requests: Sequence[Request]) -> None:
        self.scale = ResourceScale([request.slots for request in requests], machines)
        self._nodes = [NodeCapacity(machine, self.scale) for machine in machines]
        self._pools: dict[_Eligibility, _Pool] = {}
        self._classes: dict[object, _DemandClass] = {}

    def demand_class(self, request: Request) -> _DemandClass:
        group, architecture, without_image, slots = (
            request.resource_group,
            request.architecture,
            request.without_image,
            request.slots,
        )
        key = (group, architecture, without_image, *slots, *slots.values())
        demand_class = self._classes.get(key)
        if demand_class is None:
            pool = self._pool((group, architecture, without_image))
            demand_class = self._classes[key] = _DemandClass(pool, Demand(self.scale, slots))
        return demand_class

    def _pool(self, eligibility: _Eligibility) -> _Pool:
        pool = self._pools.get(eligibility)
        if pool is None:
            pool = self._pools[eligibility] = _Pool(eligibility, self._nodes, self.scale)
        return pool


class _Pool:
    """The nodes to which sessions of one group, architecture and kind may go."""

    def __init__(self, eligibility: _Eligibility, nodes: Sequence[NodeCapacity], scale: ResourceScale) -> None:
        self._eligibility = eligibility
        self._scale = scale
        excluded, able = ExcludedMachines(group=eligibility[0], architecture=eligibility[1]), []
        for node in nodes:
            obstacle = _obstacle(node.machine, eligibility)
            excluded.add(obstacle)
            if obstacle is None:
                able.append(node)
        self.index = CandidateIndex(able, scale.one)
        self._failures = PlacementFailures(self.index.nodes, excluded.all(), scale)
        sizes = {(len(node.machine.gpus), *node.machine.total, *node.machine.total.values()): node for node in able}
        self.empty = CandidateIndex((node.emptied(scale) for node in sizes.values()), scale.one)
        """One node of each size, with nothing on it."""
        self._once_left: CandidateIndex | None = None
        """Nodes that something leaves, as they would be once it has gone: an upper bound, since what is free only shrinks."""
        self._leaving: dict[str, NodeCapacity] = {}

    def to_keep(self, demand: Demand) -> NodeCapacity | None:
        """Return the node with the most of what is asked for, of those on which it fits once those have left that are leaving."""
        if self._once_left is None:
            leaving = [node for node in self.index.nodes if node.machine.leaving or node.machine.leaving_gpus]
            self._leaving = {node.machine.id: node for node in leaving}
            self._once_left = CandidateIndex((node.once_left(self._scale) for node in leaving), self._scale.one)
        able, at = [], self._once_left.first(demand, 0)
        while at is not None:
            then = self._once_left.nodes[at]
            node = self._leaving[then.machine.id]
            then.shrink_to(node.once_left(self._scale))
            if then.fits(demand):
                able.append(node)
            at = self._once_left.first(demand, at + 1)
        return min(able, key=lambda node: node.nearest_first(demand, self._scale.one), default=None)

    def why(
        self, demand: Demand, kept: tuple[Request, NodeCapacity] | None, *, possible: bool
    ) -> tuple[PlacementReason, str]:
        """Return (code, text) for a session that found none of them; call it when all are placed."""
        in_the_way = None
        if kept is not None and kept[1].fits(demand) and _obstacle(kept[1].machine, self._eligibility) is None:
            in_the_way = (kept[1], kept[0].id)
        return self._failures.reason(demand, possible=possible, kept=in_the_way)


def _obstacle(machine: Machine, eligibility: _Eligibility) -> PlacementReason | None:
    """Return the code of what keeps such sessions off this machine, whatever is free there."""
    group, architecture, without_image = eligibility
    if machine.resource_group != group:
        return PlacementReason.OTHER_GROUP
    if architecture not in (None, machine.architecture):
        return PlacementReason.OTHER_ARCHITECTURE
    if without_image and machine.runtime != "process":
        return PlacementReason.NO_IMAGE
    if machine.disk_low:
        return PlacementReason.DISK_LOW
    if machine.address_refused:
        return PlacementReason.ADDRESS_NOT_ALLOWED
    return None
