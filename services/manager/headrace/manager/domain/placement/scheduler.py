"""Which machine a session goes to. Pure: machines and pending sessions in, placements and reasons out.

- A machine fits if it is in the group, of the architecture, runs the kind of kernel, has room on its disk, is at an address
  that is allowed for it, and has all of the slots free.
- Pack: the machine is taken that fits and was the most used when the pass began (fewest free GPUs, then least free CPU
  and memory), so that large sessions find room.
- Whole GPUs and fractions are never mixed on one GPU; a fraction goes to the fullest GPU that still has it.
- First come, first served, and what does not fit is passed over. Once it has waited `RESERVE_AFTER`, of the machines on
  which it will fit once those have gone that are about to (draining, stopping, trial runs), the one that has the most of what
  it asks for is kept for it: one machine for the oldest such session of each resource group, until it has waited for
  `RESERVE_UNTIL`. Younger sessions are told so. A machine that what stays there keeps too full is kept for nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.manager.domain.placement.capacity import CandidateIndex, Demand, NodeCapacity, ResourceScale
from headrace.manager.domain.placement.machines import Grant, Machine, Placement, Request, Waiting
from headrace.manager.domain.placement.placement_failure import ExcludedMachines, refusal

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

    def __init__(self, candidates: _Candidates, eligibility: _Eligibility, demand: Demand) -> None:
        self.demand = demand
        self._candidates = candidates
        self._eligibility = eligibility
        self._index, self._sizes = candidates.index(eligibility)
        self._start = 0
        self._why: tuple[PlacementReason, str] | None = None
        self._possible: bool | None = None
        self._nothing_leaves = False

    def next_node(self) -> NodeCapacity | None:
        """Return the first node that fits and is kept for nobody."""
        at = self._index.first(self.demand, self._start)
        self._start = len(self._index.nodes) if at is None else at
        return None if at is None else self._index.nodes[at]

    def to_keep(self) -> NodeCapacity | None:
        """Return the node with the most of what is asked for, of those on which it will fit once those have left that are leaving.

        One that did not become large enough will not in this pass: what is free only shrinks.
        """
        if not self._nothing_leaves:
            scale = self._candidates.scale
            able = [
                node for node in self._candidates.leaving(self._eligibility) if node.once_left(scale).fits(self.demand)
            ]
            if able:
                return min(able, key=lambda node: node.nearest_first(self.demand, scale.one))
            self._nothing_leaves = True
        return None

    def possible(self) -> bool:
        """Whether some machine would hold it when empty."""
        if self._possible is None:
            self._possible = any(empty.fits(self.demand) for empty, _ in self._sizes)
        return self._possible

    def why(self, kept: tuple[Request, NodeCapacity] | None) -> tuple[PlacementReason, str]:
        """Return (code, text), made once for all sessions of this kind; call it when all are placed."""
        if self._why is None:
            nearest = self._candidates.nearest(self._eligibility, self.demand)
            excluded = self._candidates.excluded(self._eligibility)
            in_the_way = None
            if kept is not None and kept[1].fits(self.demand) and _obstacle(kept[1].machine, self._eligibility) is None:
                in_the_way = (kept[1], kept[0].id)
            self._why = refusal(
                self.demand,
                nearest,
                self._candidates.scale,
                excluded,
                asked=len(self._index.nodes),
                possible=self.possible(),
                kept=in_the_way,
            )
        return self._why


class _Candidates:
    """All nodes, indexed by who may go there."""

    def __init__(self, machines: Sequence[Machine], requests: Sequence[Request]) -> None:
        asked: dict[int, Mapping[str, Decimal]] = {id(request.slots): request.slots for request in requests}
        self.scale = ResourceScale(asked.values(), machines)
        self._nodes = [NodeCapacity(machine, self.scale) for machine in machines]
        self._indexes: dict[_Eligibility, tuple[CandidateIndex, list[tuple[NodeCapacity, list[NodeCapacity]]]]] = {}
        self._classes: dict[object, _DemandClass] = {}
        self._nearest: dict[object, list[NodeCapacity]] = {}
        self._leaving: dict[_Eligibility, list[NodeCapacity]] = {}
        self._excluded: dict[_Eligibility, ExcludedMachines] = {}

    def demand_class(self, request: Request) -> _DemandClass:
        eligibility = (request.resource_group, request.architecture, request.without_image)
        key = (eligibility, tuple(sorted(request.slots.items())))
        demand_class = self._classes.get(key)
        if demand_class is None:
            demand_class = self._classes[key] = _DemandClass(self, eligibility, Demand(self.scale, request.slots))
        return demand_class

    def index(self, eligibility: _Eligibility) -> tuple[CandidateIndex, list[tuple[NodeCapacity, list[NodeCapacity]]]]:
        """Return the index, and its nodes by size: (one like them but empty, they)."""
        if eligibility not in self._indexes:
            nodes = [node for node in self._nodes if _obstacle(node.machine, eligibility) is None]
            sizes: dict[object, list[NodeCapacity]] = defaultdict(list)
            for node in nodes:
                sizes[len(node.machine.gpus), tuple(sorted(node.machine.total.items()))].append(node)
            empties = [(self._empty(some[0].machine), some) for some in sizes.values()]
            self._indexes[eligibility] = (CandidateIndex(nodes, self.scale.one), empties)
        return self._indexes[eligibility]

    def _empty(self, machine: Machine) -> NodeCapacity:
        gpus = dict.fromkeys(machine.gpus, Decimal(1))
        return NodeCapacity(
            Machine(
                machine.id,
                machine.resource_group,
                machine.architecture,
                machine.runtime,
                machine.total,
                machine.total,
                gpus,
            ),
            self.scale,
        )

    def nearest(self, eligibility: _Eligibility, demand: Demand) -> list[NodeCapacity]:
        """Return the five nodes that have the most of what is asked for; the same for all that ask for the same kind of GPU."""
        key = (eligibility, bool(demand.gpus), bool(demand.share))
        if key not in self._nearest:
            nodes = self.index(eligibility)[0].nodes
            self._nearest[key] = sorted(nodes, key=lambda node: node.nearest_first(demand, self.scale.one))[:5]
        return self._nearest[key]

    def leaving(self, eligibility: _Eligibility) -> list[NodeCapacity]:
        """Return the nodes that something leaves."""
        if eligibility not in self._leaving:
            nodes = self.index(eligibility)[0].nodes
            self._leaving[eligibility] = [node for node in nodes if node.machine.leaving or node.machine.leaving_gpus]
        return self._leaving[eligibility]

    def excluded(self, eligibility: _Eligibility) -> ExcludedMachines:
        """Count the machines that cannot be asked at all."""
        if eligibility not in self._excluded:
            counts = ExcludedMachines(group=eligibility[0], architecture=eligibility[1])
            for node in self._nodes:
                counts.add(_obstacle(node.machine, eligibility))
            self._excluded[eligibility] = counts
        return self._excluded[eligibility]


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
