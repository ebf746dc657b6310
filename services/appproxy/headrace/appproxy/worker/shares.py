"""One worker's share of limits that are set for all workers together. Pure."""

from __future__ import annotations

from headrace.appproxy.file_limit import fit_descriptors
from headrace.appproxy.settings import Settings
from headrace.common.contracts.messages.routes import RouteTable

_SHARED = ("max_held_body_bytes", "max_open_requests", "max_connections", "max_connections_per_address")


def share(number: int, workers: int) -> int:
    """Return one worker's share of a limit, rounded up, so that a limit of one or more admits at least one request per
    worker.
    """
    return -(-number // workers)


def settings_for(settings: Settings, workers: int, *, descriptors: int) -> Settings:
    """Return the settings of one of `workers` workers, with limits divided among them and fitted to its descriptors."""
    mine = {name: share(getattr(settings, name), max(workers, 1)) for name in _SHARED}
    fits = fit_descriptors(descriptors, connections=mine["max_connections"], open_requests=mine["max_open_requests"])
    return settings.model_copy(
        update=mine | {"max_connections": fits.connections, "max_open_requests": fits.open_requests}
    )


def table_for(table: RouteTable, workers: int) -> RouteTable:
    """Return a route table for one of `workers` workers: its queue limit is this worker's share."""
    if workers == 1:
        return table
    limits = table.limits.model_copy(update={"max_queued": share(table.limits.max_queued, workers)})
    return table.model_copy(update={"limits": limits})
