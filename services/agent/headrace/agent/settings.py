"""Settings of the agent."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from headrace.agent.domain.port_filter import checked_source
from headrace.agent.domain.ports import PortRange
from headrace.common.contracts.addresses import MANAGER_URL
from headrace.common.contracts.ids import AgentId
from headrace.common.runtime.nats_urls import NatsUrl
from headrace.common.runtime.settings import ServiceSettings

_EVERYWHERE = ("0.0.0.0", "::", "")


class Settings(ServiceSettings):
    """Agent settings. Environment (HEADRACE_AGENT_*) beats agent.toml beats these defaults."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_AGENT_", toml_file="agent.toml", extra="forbid", frozen=True)

    id: AgentId
    """The machine's name in Headrace; also the name its bus user is limited to."""
    nats_url: NatsUrl
    """nats://host:port, without credentials; tls:// for TLS. Of a cluster, the addresses of its servers, separated by commas: a
    service that loses one goes on with another."""
    nats_user: str = ""
    """Empty: the same as `id`."""
    nats_password: SecretStr = SecretStr("")
    nats_credentials: Path | None = None
    """File with the signed identity and key (`.creds`) by which this service logs in, instead of user and password; it is
    read at each connect."""
    runtime: Literal["docker", "process"] = "docker"
    data_dir: Path
    """The last plan, what is known of each kernel, logs; private to the agent."""
    folder_access: Literal["shared", "fetch"] = "shared"
    """How model folders come to the machine. `shared`: it sees the managers' storage at `folders_root`. `fetch`: it fetches
    what its replicas need from managers, into a cache of its own."""
    folders_root: Path | None = None
    """Where model folders are, each in `<folders_root>/<folder_id>`. With Docker: the same path for the engine. With `fetch` only
    for folders that are mounted writable; without it such replicas do not start here."""
    manager_urls: tuple[Annotated[str, StringConstraints(pattern=MANAGER_URL)], ...] = ()
    """Managers' API (`https://host:port`), for `fetch` and to renew the identity on the bus: a JSON list, or in the file also one
    text. One that fails is not asked again before the others were."""
    folder_cache_dir: Path | None = None
    """Where fetched folders are kept; no other agent may use it. With Docker: the same path for the engine. None:
    `<data_dir>/folder-cache`."""
    folder_cache_bytes: Annotated[int, Field(ge=2**20)] = 2**40
    """Largest size of the cache; what was used least recently leaves first, and `disk_reserve_bytes` of its disk stay free."""
    model_roots: tuple[Path, ...] = ()
    """Directories of this machine, as NFS mounts, below which services may have their models (`file://` URIs), mounted read-only
    and not copied. With Docker: the same paths for the engine. Managers say in `model_paths` which project may use which."""
    folder_connections: Annotated[int, Field(ge=1, le=16)] = 4
    """Requests to managers at once."""

    advertise_host: str = "127.0.0.1"
    """Where app-proxies reach this machine's kernels."""
    bind_address: str = "127.0.0.1"
    """Where container ports are published, and where a free port is tried for."""
    probe_host: str = ""
    """Where the agent reaches kernels for health checks. Empty: the bind address, or 127.0.0.1 if that is any."""
    port_range: str = "20000-20999"
    """Host ports for kernels, below those that the system uses for outgoing connections."""
    replica_ports_from: Annotated[tuple[str, ...], Field(max_length=256)] = ()
    """Who reaches kernels' ports: networks, addresses and host names of app-proxies and of a Prometheus that scrapes engines (a JSON
    list); the machine itself does always. Others are dropped by nftables rules, which the agent keeps in force; it needs `nft` and
    CAP_NET_ADMIN, and starts nothing while they are not. Empty: everybody."""

    cpu: Annotated[float | None, Field(gt=0)] = None
    """Cores to offer instead of all."""
    mem_bytes: Annotated[int | None, Field(gt=0)] = None
    """Memory to offer instead of all."""
    simulated_gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """Offer so many GPUs that do not exist, instead of the real ones."""
    simulated_gpu_model: str = "Simulated GPU 80GB"
    simulated_gpu_memory_bytes: Annotated[int, Field(gt=0)] = 80 * 2**30

    docker_host: str = "unix:///var/run/docker.sock"
    docker_network: str | None = None
    """One network for all containers, which then reach each other. None: each session gets a bridge network of its own."""
    docker_subnets: IPv4Network = IPv4Network("10.213.0.0/16")
    """Where sessions' networks lie; those that overlap other networks or routes of the machine are passed over."""
    docker_subnet_prefix: Annotated[int, Field(ge=16, le=29)] = 27
    """Size of a session's network: /27 is room for 29 kernels, and 2,048 networks in a /16."""
    docker_firewall: Literal["required", "preferred", "off"] = "required"
    """Keep containers from the machine's services, from ports that other containers publish, from private and link-local
    addresses (cloud metadata), by iptables rules beside Docker's, and from all over IPv6; name servers stay open. Needs
    CAP_NET_ADMIN and the engine on the same machine. `required`: without it nothing starts. `preferred`: it starts, and the report says so."""
    docker_allowed_networks: tuple[IPv4Network, ...] = ()
    """Private networks that containers may open connections to all the same (a model mirror, a proxy): a JSON list."""
    docker_timeout: timedelta = timedelta(seconds=30)
    """For each call that is not a stream, a pull or a stop."""
    docker_pids: Annotated[int, Field(ge=16)] = 8192
    """Processes and threads per container."""
    docker_shm_bytes: Annotated[int, Field(ge=2**20)] = 2**30
    """Shared memory of a container whose service names no `shm_size`; what is used counts as its memory."""
    image_registries: tuple[str, ...] = ()
    """Registries (`host` or `host:port`) that images may be pulled from though their addresses are private, loopback or
    link-local: a JSON list. Others at such addresses are refused, since a tenant names the image."""
    image_registries_only: bool = False
    """Pull from listed registries only (`docker.io` is Docker Hub)."""
    image_pull_timeout: timedelta = timedelta(minutes=60)

    process_control_groups: Literal["preferred", "off"] = "preferred"
    """Bound the memory of kernels by their mem slot with control groups (process runtime): where the agent may make some below
    or beside its own; elsewhere and with `off` it measures what their processes hold."""
    memory_over_limit: Literal["report", "end"] = "report"
    """What happens to a kernel that is measured to hold more memory than its mem slot: its replica says so, or it is ended
    with `out-of-memory`."""

    start_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    prestart_timeout: timedelta = timedelta(minutes=10)
    """For each pre-start command."""
    port_open_timeout: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(minutes=30)
    """For programs without a health check: how long after its start the port of one may open; then it is a failed start
    (`port-never-opened`). Raise it where models load for longer, or give them health checks."""
    stop_kernels_on_exit: bool = False
    """True: a SIGTERM to the agent ends its kernels too (`headrace up`). False: they run on and are adopted later."""
    exit_grace: timedelta = timedelta(seconds=12)
    """The most a kernel's own stop grace counts then."""

    reconcile_every: timedelta = timedelta(seconds=5)
    """Longest wait before a lost event is made good."""
    report_every: timedelta = timedelta(seconds=2)
    metrics_every: timedelta = timedelta(seconds=2)
    first_sync: timedelta = timedelta(seconds=3)
    """After a start of the agent with an old plan from disk: how long new kernels wait for a newer plan."""
    log_bytes: Annotated[int, Field(ge=2**18)] = 16 * 2**20
    """Kept of each kernel's log (process runtime)."""
    log_retention: timedelta = timedelta(hours=24)
    """How long the end of the log of a removed kernel is kept."""

    disk_reserve_bytes: Annotated[int, Field(ge=0)] = 256 * 2**20
    """Below this much free on the disk of `data_dir`, or on that of Docker's data, no replica is started here; those that run go on."""

    admin_host: str = "127.0.0.1"
    admin_port: Annotated[int, Field(ge=0, le=65535)] = 8091
    """/livez, /readyz, /metrics. Prometheus is told of them where `admin_host` is every address, or `advertise_host`."""

    @field_validator("manager_urls", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("replica_ports_from")
    @classmethod
    def _sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_source, value))

    @field_validator("port_range")
    @classmethod
    def _a_range(cls, value: str) -> str:
        return str(PortRange.parse(value))

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        for name in ("data_dir", "folders_root", "folder_cache_dir"):
            path = getattr(self, name)
            if path is not None and not path.is_absolute():
                raise ValueError(f"{name} {path} must be an absolute path")
        if self.folder_access == "shared" and self.folders_root is None:
            raise ValueError("folders_root must be set, or folder_access be fetch")
        if self.folder_access == "fetch" and not self.manager_urls:
            raise ValueError(
                "folder_access is fetch, which needs manager_urls: at least one manager's https://host:port"
            )
        if self.docker_subnet_prefix <= self.docker_subnets.prefixlen:
            raise ValueError(
                f"docker_subnet_prefix {self.docker_subnet_prefix} leaves no room in docker_subnets {self.docker_subnets}; "
                f"allowed: {self.docker_subnets.prefixlen + 1} to 29"
            )
        return self

    @property
    def ports(self) -> PortRange:
        """Parsed range of host ports."""
        return PortRange.parse(self.port_range)

    @property
    def cache_dir(self) -> Path:
        """Folder of the folder cache."""
        return self.folder_cache_dir or self.data_dir / "folder-cache"

    @property
    def reachable_admin_port(self) -> int | None:
        """Port of the admin pages if they are reached where kernels are, as reported to the manager; else None."""
        return self.admin_port or None if self.admin_host in {*_EVERYWHERE, self.advertise_host} else None

    @property
    def bus_user(self) -> str:
        """NATS user of this agent."""
        return self.nats_user or self.id

    @property
    def probed_host(self) -> str:
        """Host at which kernels are probed."""
        return self.probe_host or ("127.0.0.1" if self.bind_address in _EVERYWHERE else self.bind_address)


def identity_file(settings: Settings) -> Path | None:
    """Return where the identity on the bus is kept and renewed; None: it is `nats_credentials`, which is not renewed."""
    if not settings.manager_urls or settings.nats_credentials is None:
        return None
    return settings.data_dir / "identity.creds"
