"""Reachability of a service: what app-proxies say of its table and port."""

from __future__ import annotations

from headrace.manager.domain.lifecycle.status import Reachability
from headrace.manager.domain.records.services import Service
from headrace.manager.usecases.ports import AppProxies


def reachability(proxies: AppProxies, service: Service) -> Reachability:
    """Return what decides whether callers reach the service's replicas."""
    port = service.endpoint_port
    return Reachability(
        proxies.presence(),
        proxies.generations(service.id),
        unopened={} if port is None else proxies.unopened(port),
        opened=() if port is None else proxies.opened(port),
        domains=proxies.domains(),
    )
