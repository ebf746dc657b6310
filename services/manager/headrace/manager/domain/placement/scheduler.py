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
from headrace.manager.domain.addresses import NOT_ALLOWED
from headrace.manager.domain.placement.capacity import Need, Room, Row, Units
from headrace.manager.domain.placement.machines import Grant, Machine, Placement, Request, Waiting
from headrace.manager.domain.placement.placement_failure import Bystanders, refusal

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
    board = _Board(machines, requests)
    placed: list[Placement] = []
    refused: list[tuple[Request, _Kind, str]] = []
    kept: dict[str, tuple[Request, Room]] = {}
    for request in sorted(requests, key=lambda r: (r.created_at, r.id.int)):
        kind = board.kind(request)
        room = kind.next_room()
        if room is not None:
            grants = room.take(kind.need, board.units.one)
            placed.append(Placement(request.id, room.machine.id, kind.need.counted, grants))
            continue
        note = ""
        if request.resource_group not in kept:
            keep, note = _keep(kind, now - request.created_at)
            if keep is not None:
                keep.kept = True
                kept[request.resource_group] = (request, keep)
        refused.append((request, kind, note))
    return placed, [_waiting(request, kind, note, kept.get(request.resource_group)) for request, kind, note in refused]


def who_makes_room(request: Request, without: Mapping[SessionId, Machine], now: datetime) -> set[SessionId]:
    """Return those in whose place alone the session would find a machine. `without`: each one's machine, had it gone."""
    return {occupant for occupant, machine in without.items() if place_all([machine], [request], now)[0]}


def _keep(kind: _Kind, waited: timedelta) -> tuple[Room | None, str]:
    """Return the room to keep for a session that has waited so long, and what to tell it."""
    if waited < RESERVE_AFTER or not kind.possible():
        return None, ""
    if waited >= RESERVE_UNTIL:
        return None, _NO_LONGER
    keep = kind.to_keep()
    return (None, _NOTHING_LEAVES) if keep is None else (keep, f"{keep.machine.id} is kept for it")


def _waiting(request: Request, kind: _Kind, note: str, kept: tuple[Request, Room] | None) -> Waiting:
    code, text = kind.why(kept)
    return Waiting(request.id, code, f"{text}; {note}" if note else text)


class _Kind:
    """Sessions that ask for the same. A room that did not fit one of them fits none later: room only shrinks."""

    def __init__(self, board: _Board, eligibility: _Eligibility, need: Need) -> None:
        self.need = need
        self._board = board
        self._eligibility = eligibility
        self._row, self._sizes = board.row(eligibility)
        self._start = 0
        self._why: tuple[str, str] | None = None
        self._possible: bool | None = None
        self._nothing_leaves = False

    def next_room(self) -> Room | None:
        """Return the first room that fits and is kept for nobody."""
        at = self._row.first(self.need, self._start)
        self._start = len(self._row.rooms) if at is None else at
        return None if at is None else self._row.rooms[at]

    def to_keep(self) -> Room | None:
        """Return the room with the most of what is asked for, of those on which it will fit once those have left that are leaving.

        One that did not become large enough will not in this pass: room only shrinks.
        """
        if not self._nothing_leaves:
            units = self._board.units
            able = [room for room in self._board.leaving(self._eligibility) if room.once_left(units).fits(self.need)]
            if able:
                return min(able, key=lambda room: room.nearest_first(self.need, units.one))
            self._nothing_leaves = True
        return None

    def possible(self) -> bool:
        """Whether some machine would hold it when empty."""
        if self._possible is None:
            self._possible = any(empty.fits(self.need) for empty, _ in self._sizes)
        return self._possible

    def why(self, kept: tuple[Request, Room] | None) -> tuple[str, str]:
        """Return (code, text), made once for all sessions of this kind; call it when all are placed."""
        if self._why is None:
            nearest = self._board.nearest(self._eligibility, self.need)
            bystanders = self._board.bystanders(self._eligibility)
            in_the_way = None
            if kept is not None and kept[1].fits(self.need) and _obstacle(kept[1].machine, self._eligibility) is None:
                in_the_way = (kept[1], kept[0].id)
            self._why = refusal(
                self.need, nearest, self._board.units, bystanders,
                asked=len(self._row.rooms), possible=self.possible(),
                kept=in_the_way,
            )  # fmt: skip
        return self._why


class _Board:
    """All rooms, in rows by who may go there."""

    def __init__(self, machines: Sequence[Machine], requests: Sequence[Request]) -> None:
        asked: dict[int, Mapping[str, Decimal]] = {id(request.slots): request.slots for request in requests}
        self.units = Units(asked.values(), machines)
        self._rooms = [Room(machine, self.units) for machine in machines]
        self._rows: dict[_Eligibility, tuple[Row, list[tuple[Room, list[Room]]]]] = {}
        self._kinds: dict[object, _Kind] = {}
        self._nearest: dict[object, list[Room]] = {}
        self._leaving: dict[_Eligibility, list[Room]] = {}
        self._bystanders: dict[_Eligibility, Bystanders] = {}

    def kind(self, request: Request) -> _Kind:
        eligibility = (request.resource_group, request.architecture, request.without_image)
        key = (eligibility, tuple(sorted(request.slots.items())))
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(self, eligibility, Need(self.units, request.slots))
        return kind

    def row(self, eligibility: _Eligibility) -> tuple[Row, list[tuple[Room, list[Room]]]]:
        """Return the row, and its rooms by size: (one like them but empty, they)."""
        if eligibility not in self._rows:
            rooms = [room for room in self._rooms if _obstacle(room.machine, eligibility) is None]
            sizes: dict[object, list[Room]] = defaultdict(list)
            for room in rooms:
                sizes[len(room.machine.gpus), tuple(sorted(room.machine.total.items()))].append(room)
            empties = [(self._empty(some[0].machine), some) for some in sizes.values()]
            self._rows[eligibility] = (Row(rooms, self.units.one), empties)
        return self._rows[eligibility]

    def _empty(self, machine: Machine) -> Room:
        gpus = dict.fromkeys(machine.gpus, Decimal(1))
        return Room(
            Machine(machine.id, machine.resource_group, machine.architecture, machine.runtime, machine.total, machine.total, gpus),
            self.units,
        )  # fmt: skip

    def nearest(self, eligibility: _Eligibility, need: Need) -> list[Room]:
        """Return the five rooms that have the most of what is asked for; the same for all that ask for the same kind of GPU."""
        key = (eligibility, bool(need.gpus), bool(need.share))
        if key not in self._nearest:
            rooms = self.row(eligibility)[0].rooms
            self._nearest[key] = sorted(rooms, key=lambda room: room.nearest_first(need, self.units.one))[:5]
        return self._nearest[key]

    def leaving(self, eligibility: _Eligibility) -> list[Room]:
        """Return the rooms that something leaves."""
        if eligibility not in self._leaving:
            rooms = self.row(eligibility)[0].rooms
            self._leaving[eligibility] = [room for room in rooms if room.machine.leaving or room.machine.leaving_gpus]
        return self._leaving[eligibility]

    def bystanders(self, eligibility: _Eligibility) -> Bystanders:
        """Count the machines that cannot be asked at all."""
        if eligibility not in self._bystanders:
            counts = Bystanders(group=eligibility[0], architecture=eligibility[1])
            for room in self._rooms:
                counts.add(_obstacle(room.machine, eligibility))
            self._bystanders[eligibility] = counts
        return self._bystanders[eligibility]


def _obstacle(machine: Machine, eligibility: _Eligibility) -> str | None:
    """Return the code of what keeps such sessions off this machine, whatever is free there."""
    group, architecture, without_image = eligibility
    if machine.resource_group != group:
        return "other-group"
    if architecture not in (None, machine.architecture):
        return "other-architecture"
    if without_image and machine.runtime != "process":
        return "no-image"
    if machine.disk_low:
        return "disk-low"
    if machine.address_refused:
        return NOT_ALLOWED
    return None
