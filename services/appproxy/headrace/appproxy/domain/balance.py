"""Which replica gets the next request: the less loaded of two that chance chose, in proportion to their weights.

The power of two choices keeps the greatest load near the mean without herding (Mitzenmacher 2001), needs no state and so
survives every change of the table. Chance draws by weight, and load is counted per weight: a replica of weight 10 beside one of
weight 90 gets one request in ten, idle or busy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Route


def pick(routes: Sequence[Route], in_flight: Callable[[SessionId], int], chance: Callable[[], float]) -> Route | None:
    """Return a route of those with a weight, or None if there is none. `chance` gives numbers in [0, 1)."""
    weighted = [route for route in routes if route.weight > 0]
    if len(weighted) < 2:
        return weighted[0] if weighted else None
    first = _draw(weighted, chance())
    second = _draw([route for route in weighted if route is not first], chance())
    # It goes to the second only where the second, with this request on it, is no more loaded per weight than the first is now.
    if in_flight(first.session_id) * second.weight >= (in_flight(second.session_id) + 1) * first.weight:
        return second
    return first


def _draw(routes: Sequence[Route], at: float) -> Route:
    left = at * sum(route.weight for route in routes)
    for route in routes:
        left -= route.weight
        if left < 0:
            return route
    return routes[-1]
