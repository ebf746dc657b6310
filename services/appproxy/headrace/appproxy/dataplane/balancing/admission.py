"""Admission: why no replica of a service takes a request now, and whether it may be queued. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.contracts.messages.routes import Route, RouteTable
from headrace.common.contracts.reasons.proxy import ProxyReason


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason why no replica takes a request."""

    code: ProxyReason
    text: str
    retry_after_s: int


NO_OTHER = Refusal(ProxyReason.NO_OTHER_REPLICA, "no other replica is left to try", 1)


def is_routable(route: Route) -> bool:
    """Return True if the route may get new requests: healthy, active, and with a weight above 0."""
    return route.health == "healthy" and route.state == "active" and route.weight > 0


def replicas_full(number: int, limit: int | None) -> Refusal:
    """Return the refusal for the case that every replica is at its limit of open requests."""
    text = f"all {number} replicas that serve have {limit} requests in flight, which is their limit"
    return Refusal(ProxyReason.REPLICAS_FULL, text, 1)


def unreachable(table: RouteTable, number: int) -> Refusal:
    """Return the refusal for the case that none of the `number` serving replicas accepts connections."""
    return Refusal(ProxyReason.UNREACHABLE, f"none of the {number} replicas of {table.name} can be connected to", 5)


def no_replica(table: RouteTable) -> Refusal:
    """Return the refusal for the case that the table has no serving replica."""
    routes = table.routes
    name = table.name
    if table.removed:
        return Refusal(ProxyReason.SERVICE_REMOVED, f"service {name} was removed", 30)
    if table.stopped:
        return Refusal(ProxyReason.STOPPED, f"service {name} was stopped by a user", 30)
    if table.wanted == 0:
        if table.scale_from_zero:
            return Refusal(ProxyReason.STARTING, f"service {name} has no replica yet: one is being started", 5)
        return Refusal(ProxyReason.NO_REPLICAS, f"service {name} is scaled to 0 replicas", 30)
    healths = {r.health for r in routes if r.state == "active"}
    if table.gave_up and not healths:
        text = f"service {name} has no replica: its starts failed, and no more are tried until somebody retries"
        return Refusal(ProxyReason.START_FAILED, text, 30)
    if "healthy" in healths:
        return Refusal(ProxyReason.NO_WEIGHT, f"every healthy replica of {name} has weight 0", 30)
    if "degraded" in healths or not healths:
        text = f"no replica of {name} is ready yet: {len(routes)} of {table.wanted} started, none healthy"
        return Refusal(ProxyReason.STARTING, text, 5)
    return Refusal(ProxyReason.ALL_UNHEALTHY, f"all {len(routes)} replicas of {name} fail their health checks", 5)


def may_wait(table: RouteTable, refusal: Refusal) -> bool:
    """Return True if the request may be queued: a replica may get room, accept connections again, or become ready."""
    if table.limits.max_queued == 0:
        return False
    return refusal.code in (
        ProxyReason.REPLICAS_FULL,
        ProxyReason.STARTING,
        ProxyReason.ALL_UNHEALTHY,
        ProxyReason.UNREACHABLE,
    )
