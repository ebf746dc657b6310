"""Records of what Prometheus scrapes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AgentTarget:
    """A machine whose agent reports where its admin pages are."""

    id: str
    address: str
    admin_port: int


@dataclass(frozen=True)
class ReplicaTarget:
    """A running replica, at the address at which callers' requests reach it."""

    id: str
    project: str
    service: str
    revision: int
    agent: str
    host: str
    port: int
