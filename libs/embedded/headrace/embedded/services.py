"""The four services as child processes: environment, start and stop order. Pure."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headrace.common.bus.permissions import UserKind
from headrace.embedded.ports import HOST

Runtime = Literal["process", "docker"]

API_PORT, PROXY_PORT = 8080, 8000
MAX_AGENTS = 12
"""Each agent has 1,000 ports for its kernels from 20000 on; Linux' own for outgoing connections begin at 32768."""

_FIRST_KERNEL_PORT = 20_000
_KERNEL_PORTS = 1_000


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Options of `headrace up`."""

    data: Path
    runtime: Runtime = "process"
    simulate_gpus: int = 0
    """Simulated GPUs per agent; 0: the real ones, if any."""
    agents: int = 1
    api_port: int | None = None
    """None: API_PORT, or another one if that is taken."""
    proxy_port: int | None = None
    """None: PROXY_PORT, or another one if that is taken."""
    listen_host: str = HOST
    """Listen address of the manager's API and the app-proxy; everything else listens on 127.0.0.1 only."""

    def __post_init__(self) -> None:
        if not 1 <= self.agents <= MAX_AGENTS:
            raise ValueError(f"agents must be 1 to {MAX_AGENTS}, not {self.agents}")
        if not 0 <= self.simulate_gpus <= 64:
            raise ValueError(f"simulated GPUs must be 0 to 64, not {self.simulate_gpus}")


@dataclass(frozen=True, slots=True)
class Installation:
    """Addresses, passwords and ports that the services' environments are made from. Holds secrets."""

    options: UpOptions
    data: Path
    """The data folder, resolved."""
    database_url: str = field(repr=False)
    nats_url: str
    redis_url: str = field(repr=False)
    nats_passwords: Mapping[str, str] = field(repr=False)
    """Bus user → password; the users are those of embedded_users()."""
    secret_key: str = field(repr=False)
    """32 random bytes, hexadecimal: the manager's encryption key."""
    api_port: int
    proxy_port: int
    admin_ports: Mapping[str, int]
    """Service name → port of its admin listener on 127.0.0.1; names are those of admin_names()."""
    secrets_keys: tuple[str, ...] = field(default=(), repr=False)
    """The manager's keys of projects' secrets; empty: the one that follows from `secret_key`."""
    server_ports: tuple[int, ...] = ()
    """Ports of PostgreSQL, NATS and Valkey."""

    @property
    def api_url(self) -> str:
        """URL of the manager on this machine."""
        return f"http://{_reachable(self.options.listen_host)}:{self.api_port}"

    @property
    def proxy_url(self) -> str:
        """URL of the app-proxy on this machine."""
        return f"http://{_reachable(self.options.listen_host)}:{self.proxy_port}"

    @property
    def reserved_ports(self) -> str:
        """Every port of the stack itself, as a setting: no service may have one of them as its own port."""
        return json.dumps(sorted({self.api_port, self.proxy_port, *self.admin_ports.values(), *self.server_ports}))

    @property
    def admin_key_file(self) -> Path:
        """File into which the manager writes the first admin key at its first start (0600)."""
        return self.data / "admin-key"

    @property
    def folders_root(self) -> Path:
        """Folder of the model folders, shared by manager and agents."""
        return self.data / "folders"


@dataclass(frozen=True, slots=True)
class Service:
    """Definition of one service process for the supervisor."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    """Its whole environment."""
    ready_url: str
    """Readiness URL: answers 200 when ready."""
    port: int
    """Main port, for people."""
    start_tier: int
    """Services of one tier start together, once all lower tiers are ready."""
    stop_tier: int
    """Services of one tier stop together, once all lower tiers have stopped."""
    stop_grace_s: float = 15.0
    """Time between SIGTERM and SIGKILL."""
    keeps_sockets: bool = False
    """True if its listening sockets stay open while it is restarted."""

    @property
    def admin_url(self) -> str:
        """Listener that has /livez, /readyz and /metrics."""
        return self.ready_url.removesuffix("/readyz")


def admin_names(agents: int) -> tuple[str, ...]:
    """Return the names of the services that have an admin listener of their own (the manager has one port)."""
    return ("appproxy", "autoscaler", *agent_names(agents))


def agent_names(agents: int) -> tuple[str, ...]:
    """Return the agents' ids, which are also their bus users and process names."""
    return tuple(f"agent-{n}" for n in range(1, agents + 1))


def default_services(there: Installation, base: Mapping[str, str]) -> tuple[Service, ...]:
    """Return manager, agents, app-proxy and autoscaler. `base` is the environment they inherit.

    The manager starts first, since it creates the bus' streams. App-proxy and autoscaler stop first, then the agents
    with their kernels, and the manager last, so that it receives their last reports.
    """

    def service(name: str, kind: UserKind, *, start: int, stop: int, grace_s: float) -> Service:
        port = there.api_port if kind is UserKind.MANAGER else there.admin_ports[name]
        return Service(
            name=name,
            argv=(sys.executable, "-m", f"headrace.{kind}"),
            env=service_environment(there, name, kind, base),
            ready_url=f"http://{_reachable(there.options.listen_host) if kind is UserKind.MANAGER else HOST}:{port}/readyz",
            port=there.proxy_port if kind is UserKind.APPPROXY else port,
            start_tier=start,
            stop_tier=stop,
            stop_grace_s=grace_s,
            keeps_sockets=kind is UserKind.APPPROXY,
        )

    return (
        service("manager", UserKind.MANAGER, start=0, stop=2, grace_s=15),
        *(service(name, UserKind.AGENT, start=1, stop=1, grace_s=30) for name in agent_names(there.options.agents)),
        service("appproxy", UserKind.APPPROXY, start=1, stop=0, grace_s=15),
        service("autoscaler", UserKind.AUTOSCALER, start=1, stop=0, grace_s=10),
    )


def service_environment(there: Installation, name: str, kind: UserKind, base: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of the service process `name`: `base`, overridden by the stack's values."""
    prefix = f"HEADRACE_{kind.upper()}_"
    own = _bus(there, name) | _specific(there, name, kind)
    return {**base, "PYTHONUNBUFFERED": "1", **{prefix + key: value for key, value in own.items()}}


def _bus(there: Installation, user: str) -> dict[str, str]:
    return {"NATS_URL": there.nats_url, "NATS_USER": user, "NATS_PASSWORD": there.nats_passwords[user]}


def _specific(there: Installation, name: str, kind: UserKind) -> dict[str, str]:
    match kind:
        case UserKind.MANAGER:
            return {
                "ID": "manager-1",
                "DATABASE_URL": there.database_url,
                "LISTEN_HOST": there.options.listen_host,
                "LISTEN_PORT": str(there.api_port),
                "FOLDERS_ROOT": str(there.folders_root),
                "ADMIN_KEY_FILE": str(there.admin_key_file),
                "SECRET_KEY": there.secret_key,
                "SECRETS_KEYS": json.dumps(there.secrets_keys),
                "PUBLIC_PROXY_URL": there.proxy_url,
                "RESERVED_PORTS": there.reserved_ports,
                "REPLICA_NETWORKS": f'["{HOST}/32"]',
                "LOG_FORMAT": "json",
            }
        case UserKind.AGENT:
            return {
                "ID": name,
                "RUNTIME": there.options.runtime,
                "DATA_DIR": str(there.data / "agents" / name),
                "FOLDERS_ROOT": str(there.folders_root),
                "SIMULATED_GPUS": str(there.options.simulate_gpus),
                "ADVERTISE_HOST": HOST,
                "PORT_RANGE": _kernel_ports(agent_names(there.options.agents).index(name)),
                "ADMIN_PORT": str(there.admin_ports[name]),
                "STOP_KERNELS_ON_EXIT": "true",
                "DOCKER_FIREWALL": "preferred",  # a local stack need not run as root; `status` shows the isolation in force
            }
        case UserKind.APPPROXY:
            return {
                "ID": "proxy-1",
                "DOMAIN": "localhost",
                "LISTEN_HOST": there.options.listen_host,
                "LISTEN_PORT": str(there.proxy_port),
                "ADVERTISE_URL": there.proxy_url,
                "RESERVED_PORTS": there.reserved_ports,
                "ADMIN_PORT": str(there.admin_ports[name]),
                "DATA_DIR": str(there.data / "appproxy"),
                "REDIS_URL": there.redis_url,
            }
        case UserKind.AUTOSCALER:
            return {
                "ID": "autoscaler-1",
                "REDIS_URL": there.redis_url,
                "ADMIN_PORT": str(there.admin_ports[name]),
            }


def _kernel_ports(index: int) -> str:
    first = _FIRST_KERNEL_PORT + index * _KERNEL_PORTS
    return f"{first}-{first + _KERNEL_PORTS - 1}"


def _reachable(listen_host: str) -> str:
    """Return the address by which this machine reaches a listener on `listen_host`."""
    return HOST if listen_host in {"", "0.0.0.0", "::"} else listen_host
