"""Which addresses Prometheus is told to scrape.

What a machine says of itself must not make Prometheus call others: its host is the one that is allowed for its replicas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from headrace.common.contracts.addresses import is_forbidden_address, is_host_name, parse_address
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.domain.records.targets import AgentTarget, ReplicaTarget

MAX_TARGETS: Final = 50_000
"""Targets of one kind; further ones are left out."""


class Target(NamedTuple):
    """One address, and the labels of its series."""

    address: str
    labels: Mapping[str, str]


def agent_targets(agents: Iterable[AgentTarget]) -> Iterator[Target]:
    """Yield the admin pages of agents."""
    for agent in agents:
        labels = {"job": "headrace-agent", "instance": agent.id}
        yield Target(_joined(agent.address, agent.admin_port), labels)


def proxy_targets(addresses: Mapping[str, str], places: AddressPolicy) -> Iterator[Target]:
    """Yield the admin pages of app-proxies (id → HOST:PORT); not one that Prometheus would look for on its own machine."""
    for proxy_id, address in sorted(addresses.items()):
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            continue
        ip = parse_address(host)
        elsewhere = is_host_name(host) if ip is None else not is_forbidden_address(ip) or places.refuses(host) is None
        if elsewhere and port:
            yield Target(_joined(host, port), {"job": "headrace-appproxy", "instance": proxy_id})


def replica_targets(replicas: Iterable[ReplicaTarget]) -> Iterator[Target]:
    """Yield the engines of running replicas."""
    for replica in replicas:
        labels = {
            "job": "headrace-replica",
            "instance": replica.id,
            "project": replica.project,
            "service": replica.service,
            "revision": str(replica.revision),
            "agent": replica.agent,
        }
        yield Target(_joined(replica.host, replica.port), labels)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
