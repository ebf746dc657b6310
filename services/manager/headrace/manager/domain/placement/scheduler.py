"""Scheduler: assigns pending sessions to machines, or explains why not. Pure.

- Feasible: a machine fits if it is in the group, of the architecture, runs the kind of kernel, is not cordoned, has room on
  its disk, is at an address that is allowed for it, and has all of the slots free.
- Rank (bin packing): of those that fit, the most used one is taken (fewest free GPUs, then least free CPU and memory), as of
  when the pass came to the first session that may use the same machines, so that large sessions find room.
- Whole GPUs and fractions are never mixed on one GPU; a fraction goes to the fullest GPU that still has it.
- First come, first served; a session that does not fit is skipped. Once it has waited `RESERVE_AFTER`, a machine is
  reserved for it: of those on which it will fit once the sessions that are about to leave have gone (draining, stopping,
  trial runs), the one that has the most of what it asks for. One machine is reserved for the oldest such session of each
  resource group, until it has waited for `RESERVE_UNTIL`; the reasons of younger sessions name it. A machine that would not
  have enough room even then is not reserved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.manager.domain.placement.candidate_index import CandidateIndex
from headrace.manager.domain.placement.capacity import Demand, NodeCapacity, ResourceScale
from headrace.manager.domain.placement.machines import Grant, Machine, Placement, Request, Unplaced
from headrace.manager.domain.placement.placement_failure import ExcludedMachines, PlacementFailures

__all__ = [
    "RESERVE_AFTER",
    "RESERVE_UNTIL",
    "Grant",
    "Machine",
    "Placement",
    "Request",
    "Unplaced",
    "place_all",
    "place_each_alone",
    "preemption_candidates",
]

RESERVE_AFTER = timedelta(seconds=60)
RESERVE_UNTIL = timedelta(minutes=15)
"""Limit of a reservation, so that nobody else waits longer for the reserved machine."""
_NOTHING_LEAVES = "none is kept for it, because nothing that is in its way is about to leave"
_NO_LONGER = "none is kept for it any more, because it has waited for more than 15 min"

_PASSING = frozenset({PlacementReason.DISK_LOW, PlacementReason.ADDRESS_NOT_ALLOWED})
"""Obstacles that an operator can remove: the machine counts as one that would be large enough."""

_Eligibility = tuple[str, str | None, bool, bool]
"""Resource group, architecture, whether there is no image, and whether there are secrets."""


def place_all(
    machines: Sequence[Machine], requests: Sequence[Request], now: datetime
) -> tuple[list[Placement], list[Unplaced]]:
    """Place the sessions that fit, oldest first. Return placements and, for each other session, why it waits.

    Reasons refer to what is free after all these placements. A placed session never takes a machine from an older one
    that would fit there.
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


def place_each_alone(machines: Sequence[Machine], requests: Sequence[Request]) -> list[Unplaced | None]:
    """Return for each session why it would not be placed if it were the only one; None where it would. Nothing is taken."""
    candidates = _Candidates(machines, requests)
    classes = [candidates.demand_class(request) for request in requests]
    return [
        None if one.next_node() is not None else _waiting(request, one, "", None)
        for request, one in zip(requests, classes, strict=True)
    ]


def preemption_candidates(request: Request, without: Mapping[SessionId, Machine], now: datetime) -> set[SessionId]:
    """Return the sessions whose removal alone would give the session a machine.

    `without`: for each one, its machine as if it had gone.
    """
    return {occupant for occupant, machine in without.items() if place_all([machine], [request], now)[0]}


def _keep(demand_class: _DemandClass, waited: timedelta) -> tuple[NodeCapacity | None, str]:
    """Return the machine to reserve for a session that has waited this long, and the text for its reason."""
    if waited < RESERVE_AFTER or not demand_class.possible():
        return None, ""
    if waited >= RESERVE_UNTIL:
        return None, _NO_LONGER
    keep = demand_class.to_keep()
    return (None, _NOTHING_LEAVES) if keep is None else (keep, f"{keep.machine.id} is kept for it")


def _waiting(
    request: Request, demand_class: _DemandClass, note: str, kept: tuple[Request, NodeCapacity] | None
) -> Unplaced:
    code, text = demand_class.why(kept)
    return Unplaced(request.id, code, f"{text}; {note}" if note else text)


class _DemandClass:
    """Sessions with equal requests.

    A node that did not fit one of them fits none later: free capacity only shrinks in a pass.
    """

    __slots__ = ("_nothing_leaves", "_possible", "_start", "_why", "demand", "pool")

    def __init__(self, pool: _Pool, demand: Demand) -> None:
        self.demand = demand
        self.pool = pool
        self._start = 0
        self._why: tuple[PlacementReason, str] | None = None
        self._possible: bool | None = None
        self._nothing_leaves = False

    def next_node(self) -> NodeCapacity | None:
        """Return the first node that fits and is not reserved."""
        index = self.pool.index
        at = index.first(self.demand, self._start)
        self._start = len(index.nodes) if at is None else at
        return None if at is None else index.nodes[at]

    def to_keep(self) -> NodeCapacity | None:
        """Return the node to reserve: it fits once leaving sessions have gone, and has the most of what is requested.

        One that is too small now stays so for this pass: free capacity only shrinks.
        """
        if self._nothing_leaves:
            return None
        keep = self.pool.to_keep(self.demand)
        self._nothing_leaves = keep is None
        return keep

    def possible(self) -> bool:
        """Return whether some machine would fit it when empty."""
        if self._possible is None:
            self._possible = self.pool.empty.first(self.demand, 0) is not None
        return self._possible

    def why(self, kept: tuple[Request, NodeCapacity] | None) -> tuple[PlacementReason, str]:
        """Return (code, text) of the failure, computed once for all sessions of the class; call it when all are placed."""
        if self._why is None:
            possible = self.possible() or self.pool.unusable_would_fit(self.demand)
            self._why = self.pool.why(self.demand, kept, possible=possible)
        return self._why


class _Candidates:
    """All nodes, indexed by eligibility."""

    def __init__(self, machines: Sequence[Machine], requests: Sequence[Request]) -> None:
        self.scale = ResourceScale([request.slots for request in requests], machines)
        self._nodes = [NodeCapacity(machine, self.scale) for machine in machines]
        self._pools: dict[_Eligibility, _Pool] = {}
        self._classes: dict[object, _DemandClass] = {}

    def demand_class(self, request: Request) -> _DemandClass:
        slots = request.slots
        eligibility = (request.resource_group, request.architecture, request.without_image, request.has_secrets)
        key = (*eligibility, *slots, *slots.values())
        demand_class = self._classes.get(key)
        if demand_class is None:
            pool = self._pool(eligibility)
            demand_class = self._classes[key] = _DemandClass(pool, Demand(self.scale, slots))
        return demand_class

    def _pool(self, eligibility: _Eligibility) -> _Pool:
        pool = self._pools.get(eligibility)
        if pool is None:
            pool = self._pools[eligibility] = _Pool(eligibility, self._nodes, self.scale)
        return pool


class _Pool:
    """Nodes that sessions of one resource group, architecture and kind may use."""

    def __init__(self, eligibility: _Eligibility, nodes: Sequence[NodeCapacity], scale: ResourceScale) -> None:
        self._eligibility = eligibility
        self._scale = scale
        excluded, able = ExcludedMachines(group=eligibility[0], architecture=eligibility[1]), []
        unusable: list[NodeCapacity] = []
        for node in nodes:
            obstacle = _obstacle(node.machine, eligibility)
            excluded.add(obstacle, node.machine)
            if obstacle is None:
                able.append(node)
            elif obstacle in _PASSING:
                unusable.append(node)
        self.index = CandidateIndex(able, scale.one)
        self._failures = PlacementFailures(self.index.nodes, excluded.all(), scale)
        self._unusable = unusable
        self._unusable_empty: CandidateIndex | None = None
        self.empty = _empty(able, scale)
        self._once_left: CandidateIndex | None = None
        """Nodes that something leaves, as they would be once it has gone: an upper bound, since what is free only shrinks."""
        self._leaving: dict[str, NodeCapacity] = {}

    def unusable_would_fit(self, demand: Demand) -> bool:
        """Return whether a machine that cannot be used for the moment would fit it when empty."""
        if self._unusable_empty is None:
            self._unusable_empty = _empty(self._unusable, self._scale)
        return self._unusable_empty.first(demand, 0) is not None

    def to_keep(self, demand: Demand) -> NodeCapacity | None:
        """Return the node to reserve: it fits once leaving sessions have gone, and has the most of what is requested."""
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
        """Return (code, text) for a session that fits on none of them; call it when all are placed."""
        in_the_way = None
        if kept is not None and kept[1].fits(demand) and _obstacle(kept[1].machine, self._eligibility) is None:
            in_the_way = (kept[1], kept[0].id)
        return self._failures.reason(demand, possible=possible, kept=in_the_way)


def _empty(nodes: Sequence[NodeCapacity], scale: ResourceScale) -> CandidateIndex:
    """Return an index of one node of each size, with nothing on it."""
    sizes = {(len(node.machine.gpus), *node.machine.total, *node.machine.total.values()): node for node in nodes}
    return CandidateIndex((node.emptied(scale) for node in sizes.values()), scale.one)


def _obstacle(machine: Machine, eligibility: _Eligibility) -> PlacementReason | None:
    """Return the code of why such sessions cannot use this machine, whatever is free there; None when they can."""
    group, architecture, without_image, has_secrets = eligibility
    if machine.resource_group != group:
        return PlacementReason.OTHER_GROUP
    if architecture not in (None, machine.architecture):
        return PlacementReason.OTHER_ARCHITECTURE
    if without_image and machine.runtime != "process":
        return PlacementReason.NO_IMAGE
    if has_secrets and not machine.plan_key:
        return PlacementReason.NO_PLAN_KEY
    if machine.cordon is not None:
        return PlacementReason.CORDONED
    if machine.disk_low:
        return PlacementReason.DISK_LOW
    if machine.address_refused:
        return PlacementReason.ADDRESS_NOT_ALLOWED
    return None
