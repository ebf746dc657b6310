"""Drain of a machine: which services move their replicas elsewhere now, why each is still there, and when it is over. Pure.

Services move one after the other, by name, so that few replicas start at once; each within the rules of its rollouts (start
elsewhere, healthy, drain here). One whose replacement finds no machine, or does not start, does not hold up the others: the
next one moves beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.drain import DrainReason
from headrace.common.text.counting import count
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS

STUCK_AFTER: Final = timedelta(seconds=10)
"""A service whose replacement has waited this long for a machine does not hold up the next one."""


@dataclass(frozen=True)
class ServiceHere:
    """What a service has on the machine, and what stands in for it elsewhere."""

    service_id: ServiceId | None
    """None: trial runs."""
    name: str
    """`project/service`."""
    active: int
    """Replicas on the machine that are not leaving."""
    leaving: int
    wanted: int
    serving: int
    """Replicas of the service that serve, anywhere."""
    starting: int
    """Replicas of the service that start elsewhere, with a machine or without."""
    waiting_since: datetime | None
    """Creation of its oldest replica without a machine."""
    waiting_reason: str
    failed_starts: int


@dataclass(frozen=True)
class ServiceState:
    """A service that still has something on the machine, and why."""

    here: ServiceHere
    moves: bool
    """Whether its replicas there are being replaced now."""
    reason: Reason


@dataclass(frozen=True)
class DrainState:
    """State of a drain. `reason`: what it waits for besides services; None where there is nothing."""

    services: tuple[ServiceState, ...]
    reason: Reason | None
    over: bool

    @property
    def moving(self) -> frozenset[ServiceId]:
        """Services whose turn it is."""
        return frozenset(s.here.service_id for s in self.services if s.moves and s.here.service_id is not None)


def decide(
    here: Sequence[ServiceHere], moving: frozenset[ServiceId], holding: int, silent_s: float | None, now: datetime
) -> DrainState:
    """Return the state of a machine's drain.

    `moving`: services whose turn it was; `holding`: kernels that hold slots of the machine; `silent_s`: for how long it has been
    lost, None while it reports.
    """
    states: list[ServiceState] = []
    free = True
    for one in sorted(here, key=lambda one: (one.service_id is None, one.name, str(one.service_id))):
        turn = one.service_id is not None and one.active > 0 and (free or one.service_id in moving)
        stuck = _stuck(one, now)
        states.append(ServiceState(one, turn, _reason(one, stuck, turn=turn)))
        free = free and not (turn and stuck is None)
    return DrainState(tuple(states), _rest(states, holding, silent_s), over=not states and not holding)


def _stuck(one: ServiceHere, now: datetime) -> Reason | None:
    """Return why the service cannot move now; None where it can, as far as is known."""
    if one.waiting_since is not None and now - one.waiting_since >= STUCK_AFTER:
        return Reason.of(DrainReason.NO_MACHINE, f"its replacement waits for a machine: {one.waiting_reason}")
    if one.failed_starts >= MAX_FAILED_STARTS:
        text = f"its last {one.failed_starts} starts failed; see headrace service errors, and start it again"
        return Reason.of(DrainReason.STARTS_FAIL, text)
    return None


def _reason(one: ServiceHere, stuck: Reason | None, *, turn: bool) -> Reason:
    if one.service_id is None:
        return Reason.of(
            DrainReason.TRIAL_RUN, f"{count(one.active + one.leaving, 'trial run')} there; a trial run ends by itself"
        )
    if not one.active:
        return Reason.of(DrainReason.LEAVING, f"{count(one.leaving, 'replica')} to finish open requests and stop")
    if not turn:
        return Reason.of(DrainReason.WAITING_TURN, f"{count(one.active, 'replica')}; services move one after the other")
    if stuck is not None:
        return stuck
    numbers = f"of {count(one.wanted, 'replica')} {one.serving} serving, {one.starting} starting elsewhere"
    return Reason.of(DrainReason.MOVING, f"to be replaced: {one.active}; {numbers}")


def _rest(states: Sequence[ServiceState], holding: int, silent_s: float | None) -> Reason | None:
    """Return what the drain waits for besides services."""
    if silent_s is not None and (states or holding):
        text = f"its agent has been silent for {silent_s:.0f} s; what it holds is free once it reports, or is removed by force"
        return Reason.of(DrainReason.AGENT_LOST, text)
    if holding and not states:
        return Reason.of(DrainReason.SLOTS_HELD, f"its agent still shows {count(holding, 'stopped kernel')}")
    return None
