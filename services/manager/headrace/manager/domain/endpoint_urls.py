"""Endpoint URLs of a service: by path, by host name and by own port, and whether every app-proxy serves them.

A URL is told before it works, with the reason why it does not yet: it is permanent, and callers may be set up with it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import EndpointReason
from headrace.manager.domain.lifecycle.status import Reachability

MAX_DOMAINS = 8
"""Domains of app-proxies of which a service's URLs are told."""
_NAMED = 5

Kind = Literal["path", "host", "port"]


@dataclass(frozen=True, slots=True)
class EndpointUrl:
    """One base URL of a service."""

    kind: Kind
    url: str
    reason: Reason

    @property
    def ready(self) -> bool:
        """Whether every app-proxy serves the service there."""
        return self.reason.code == EndpointReason.SERVED


def endpoint_urls(proxy_url: str, name: str, port: int | None, reach: Reachability) -> tuple[EndpointUrl, ...]:
    """Return the URLs of the service `name`. `proxy_url`: base URL of the app-proxies for callers, without a slash at its end."""
    base = urlsplit(proxy_url)
    at = f":{base.port}" if base.port is not None else ""
    host = base.hostname or ""
    host = f"[{host}]" if ":" in host else host
    domains = sorted({domain for domain in reach.domains.values() if domain})[:MAX_DOMAINS]
    found = [EndpointUrl("path", f"{proxy_url}/{name}", _served(reach))]
    found += [
        EndpointUrl("host", f"{base.scheme}://{name}.{domain}{at}", _at_domain(reach, domain)) for domain in domains
    ]
    if port is not None:
        found.append(EndpointUrl("port", f"{base.scheme}://{host}:{port}", _at_port(reach, port)))
    return tuple(found)


def _served(reach: Reachability) -> Reason:
    if reach.presence == "unknown":
        return Reason.of(EndpointReason.APP_PROXIES_UNKNOWN, "waiting for the app-proxies' reports")
    if reach.presence == "away":
        return Reason.of(EndpointReason.APP_PROXY_AWAY, "no app-proxy is heard of")
    if reach.presence == "bus-away":
        return Reason.of(EndpointReason.BUS_AWAY, "the manager is cut off from the message bus, and cannot tell")
    behind = [proxy_id for proxy_id, generation in reach.generations.items() if generation == 0]
    if behind:
        return Reason.of(EndpointReason.APP_PROXY_BEHIND, f"its route table is not applied yet at {_names(behind)}")
    return Reason.of(EndpointReason.SERVED, "served by every app-proxy")


def _at_domain(reach: Reachability, domain: str) -> Reason:
    missing = [proxy_id for proxy_id in reach.generations if reach.domains.get(proxy_id) != domain]
    if missing:
        return Reason.of(EndpointReason.DOMAIN_MISSING, f"host names of {domain} are not served at {_names(missing)}")
    return _served(reach)


def _at_port(reach: Reachability, port: int) -> Reason:
    if reach.unopened:
        why = ", ".join(f"{proxy_id} ({text})" for proxy_id, text in sorted(reach.unopened.items())[:_NAMED])
        return Reason.of(EndpointReason.ENDPOINT_PORT_FAILED, f"port {port} is not open at {why}")
    served = _served(reach)
    if served.code != EndpointReason.SERVED:
        return served
    missing = [proxy_id for proxy_id in reach.generations if proxy_id not in reach.opened]
    if missing:
        return Reason.of(EndpointReason.ENDPOINT_PORT_OPENING, f"port {port} is not open yet at {_names(missing)}")
    return served


def _names(proxies: Collection[ProxyId]) -> str:
    named = ", ".join(sorted(proxies)[:_NAMED])
    more = len(proxies) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
