"""Whether a service can take a request now, on which replica, and if not, why not."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from headrace.appproxy.domain.balance import pick
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Route, RouteTable


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no replica takes the request. `code` is stable; 429 means 'busy', 503 means 'nobody there'."""

    status: int
    code: str
    text: str
    retry_after_s: int


def serving(table: RouteTable) -> list[Route]:
    """Return the routes that may get new requests: healthy, active, with a weight."""
    return [r for r in table.routes if r.health == "healthy" and r.state == "active" and r.weight > 0]


def admit(
    table: RouteTable,
    *,
    in_flight: Callable[[SessionId], int],
    ejected: Container[SessionId],
    tried: Container[SessionId],
    chance: Callable[[], float],
) -> Route | Refusal:
    """Return the route for one request, or why there is none.

    `ejected` are passed over unless nothing else serves (the last one is never taken out). `tried` are what this request failed on.
    """
    able = serving(table)
    if not able:
        return _nobody(table)
    usable = [r for r in able if r.session_id not in ejected and r.session_id not in tried]
    usable = usable or [r for r in able if r.session_id not in tried]
    if not usable:
        return Refusal(502, "no-other-replica", "no other replica is left to try", 1)
    limit = table.limits.max_in_flight_per_replica
    free = [r for r in usable if limit is None or in_flight(r.session_id) < limit]
    route = pick(free, in_flight, chance)
    if route is None:
        text = f"all {len(usable)} replicas that serve have {limit} requests in flight, which is their limit"
        return Refusal(429, "replicas-full", text, 1)
    return route


def _nobody(table: RouteTable) -> Refusal:
    routes = table.routes
    if table.wanted == 0:
        return Refusal(503, "no-replicas", f"service {table.name} is stopped: it wants 0 replicas", 30)
    healths = {r.health for r in routes if r.state == "active"}
    if "healthy" in healths:
        return Refusal(503, "no-weight", f"every healthy replica of {table.name} has weight 0", 30)
    if "degraded" in healths or not healths:
        text = f"no replica of {table.name} is ready yet: {len(routes)} of {table.wanted} started, none healthy"
        return Refusal(503, "starting", text, 5)
    return Refusal(503, "all-unhealthy", f"all {len(routes)} replicas of {table.name} fail their health checks", 5)
