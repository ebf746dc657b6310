"""Records of an installation's parts: processes that report, and what stores tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.reports import Disk
from headrace.common.contracts.vocabulary import InstanceKind

Facts = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Instance:
    """Process that reports to managers, as last heard of."""

    kind: InstanceKind
    name: str
    version: str
    host: str
    address: str
    started_at: datetime | None
    last_seen_at: datetime
    stopped: bool
    ready: bool
    checks: Mapping[str, str]
    checks_since: datetime
    """Since when these very checks, and no others, are not passed."""
    facts: Facts


@dataclass(frozen=True, slots=True)
class MachineState:
    """Machine, as far as it matters for the status of the installation."""

    id: str
    version: str
    host: str
    address: str
    last_seen_at: datetime
    lost_at: datetime | None
    address_problem: str | None
    plan_problem: str | None
    cordoned: bool
    disk: Disk | None
    engine_disk: Disk | None
    instance: ServiceInstance | None
    """None: the agent's version does not report it."""


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines, those in trouble first, and how many there are in all."""

    shown: tuple[MachineState, ...]
    total: int
    lost: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """PostgreSQL, as it answers."""

    now: datetime
    version: str
    address: str
    started_at: datetime
    recovering: bool
    """It is a standby, which takes no writes."""
    size_bytes: int
    standbys: int
    """Servers that replicate from it."""
    connections: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """Stream of the bus, and its copies in a cluster."""

    name: str
    wanted: int
    """Copies that there should be."""
    behind: tuple[str, ...] = ()
    """Servers whose copy is not current, and why."""
    copies: int = 1
    """Servers that should have a copy, by the stream's own configuration."""


@dataclass(frozen=True, slots=True)
class BusState:
    """NATS, as the manager that answers is connected to it."""

    problem: str | None = None
    """Why it cannot be asked."""
    version: str = ""
    address: str = ""
    servers: tuple[str, ...] = ()
    """Addresses that the manager knows."""
    streams: tuple[StreamState, ...] = field(default=())
