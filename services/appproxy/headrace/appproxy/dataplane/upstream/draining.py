"""Drain deadline: until when open requests on a draining replica may go on. Pure."""

from __future__ import annotations

from datetime import datetime

from headrace.common.contracts.messages.routes import Route

NEVER = float("inf")


def drain_deadline(route: Route, now: datetime, now_s: float) -> float:
    """Return when what is open on the replica is to be cut, in seconds of the clock that says `now_s`; NEVER while it does not drain.

    To be asked once, when `drain_until` is first seen: from then on a wall clock that is set changes nothing. It is never before
    now, whatever the clocks say; one that is ahead of the manager's shortens the grace by that much, and one that is behind
    finds the replica stopped, of which callers are told too.
    """
    if route.state != "draining" or route.drain_until is None:
        return NEVER
    return now_s + max(0.0, (route.drain_until - now).total_seconds())
