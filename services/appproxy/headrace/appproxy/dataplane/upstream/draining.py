"""Drain deadline: when the open requests of a draining replica are cut. Pure."""

from __future__ import annotations

from datetime import datetime

from headrace.common.contracts.messages.routes import Route

NEVER = float("inf")


def drain_deadline(route: Route, now: datetime, now_s: float) -> float:
    """Return the time at which the replica's open requests are cut, by the clock of `now_s`; NEVER while it does not
    drain.

    Call it once, when `drain_until` first appears: from then on a wall clock that is set has no effect. It is never
    before now, whatever the clocks say; a clock ahead of the manager's shortens the grace by the difference, and one
    behind finds the replica stopped, which callers are told too.
    """
    if route.state != "draining" or route.drain_until is None:
        return NEVER
    return now_s + max(0.0, (route.drain_until - now).total_seconds())
