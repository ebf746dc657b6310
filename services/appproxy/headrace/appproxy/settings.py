"""Settings of the app-proxy."""

from __future__ import annotations

import socket
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import SettingsConfigDict

from headrace.common.contracts.addresses import MANAGER_URL
from headrace.common.contracts.cors import Origins
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.reports import MAX_DOMAIN
from headrace.common.runtime.nats_urls import NatsUrl
from headrace.common.runtime.settings import ServiceSettings

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(ServiceSettings):
    """App-proxy settings. Environment (HEADRACE_APPPROXY_*) beats appproxy.toml beats these defaults."""

    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_APPPROXY_", toml_file="appproxy.toml", extra="forbid", frozen=True
    )

    id: ProxyId = "proxy-1"
    """Name of this app-proxy, unique in the installation."""
    nats_url: NatsUrl = "nats://127.0.0.1:4222"
    """nats://host:port, without credentials; tls:// for TLS. Of a cluster, the addresses of its servers, separated by commas: a
    service that loses one goes on with another."""
    nats_user: str = "appproxy"
    nats_password: SecretStr = SecretStr("")
    nats_credentials: Path | None = None
    """File with the signed identity and key (`.creds`) by which this service logs in, instead of user and password; it is
    read at each connect."""
    manager_urls: tuple[Annotated[str, StringConstraints(pattern=MANAGER_URL)], ...] = ()
    """Managers' API (`https://host:port`), by which the identity is renewed: a JSON list. Empty: it is not renewed."""

    listen_host: str = "0.0.0.0"
    """Address of the shared port; services' own ports are opened on it too."""
    listen_port: Port = 8000
    reserved_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Ports that no service may have as its own, because something else listens there, even if not now: the bus, a
    database."""
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8001
    """/livez, /readyz, /metrics and /routes."""
    admin_advertise_host: str = ""
    """Where Prometheus reaches them, as reported to the manager. Default: `admin_host`, or this machine's name if that is
    every address."""
    data_dir: Path = Path("appproxy-data")
    """Folder in which the last route tables are stored."""
    first_tables_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    """Longest wait at the start for the tables on the bus, so that tokens revoked meanwhile are refused from the first
    request on. Connections wait in the sockets' backlog. Afterwards, or if the bus is unreachable, the tables on disk
    are used."""
    domain: Annotated[str, StringConstraints(max_length=MAX_DOMAIN)] | None = None
    """With `models.example.com`, service `chat` is also `chat.models.example.com`."""
    advertise_url: str | None = None
    """Base URL for callers, as reported to the manager. Default: http://<listen_host>:<listen_port>."""
    trusted_peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks of trusted proxies, whose X-Forwarded-For, -Proto and -Host are used, for example ["10.0.0.0/8"]."""
    fleet_cors_origins: Origins = ()
    """CORS origins at the fleet's base URL (`/v1`), for example ["https://app.example.com"]; ["*"] for all. None: CORS
    is left to replicas there. Services' own addresses have their own setting (`cors`)."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Worker processes, all on the same ports; one per core is of use. 0: requests are served in the process of the bus
    and the admin pages (for development)."""
    redis_url: SecretStr = SecretStr("")
    """Redis for callers' limits over all app-proxies (docs/caller-limits.md): redis://[[user]:password@]host:port/db,
    rediss:// for TLS. Of Sentinels, which name the server: redis+sentinel://[[user]:password@]host:port,host:port/service/db?sentinel_password=…;
    rediss+sentinel:// for TLS. Without it, each worker allows its part of every limit."""
    redis_timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.25
    """Longest wait of a request for Redis; then its limits are enforced by the worker alone."""

    connect_timeout_s: Seconds = 3.0
    head_timeout_s: Seconds = 10.0
    """Time in which the head of a request must be complete, from its first byte on."""
    caller_idle_timeout_s: Seconds = 60.0
    """Longest pause of a caller in the middle of its request body, or in reading its response."""
    min_body_bytes_per_s: Annotated[int, Field(ge=0, le=1024**2)] = 100
    """Lowest mean rate of a request body over `slow_body_grace_s`; 0 for no limit."""
    slow_body_grace_s: Seconds = 30.0
    """Period over which a slow request body is measured. Time in which the proxy itself does not read does not
    count."""
    keepalive_timeout_s: Seconds = 75.0
    """How long an idle downstream connection is kept."""
    replica_keepalive_s: Seconds = 4.0
    """How long an idle upstream connection is kept: below the 5 s after which uvicorn, under most engines, closes
    it."""
    replica_tcp_user_timeout_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """TCP_USER_TIMEOUT of upstream connections, with keepalive probes from a third of it on: a replica whose machine
    acknowledges nothing for so long is gone (504 `replica-unreachable`), and so is one that takes nothing of a request's
    body for so long. 0: as the system has it."""
    caller_tcp_user_timeout_s: Annotated[float, Field(ge=0, le=3600)] = 90.0
    """The same of downstream connections: what a caller asked for whose machine is gone is ended. At least one and a half
    times `caller_idle_timeout_s`, which is what ends callers that do not read."""
    same_instant_s: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A kept-alive connection lost this soon after being taken was closing already: its request is sent again on a new
    one."""
    shutdown_grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Longest wait for open requests after SIGTERM."""

    max_body_bytes: Annotated[int, Field(gt=0)] = 1024**3
    """Largest request body of services that set no limit of their own."""
    replay_bytes: Annotated[int, Field(ge=0, le=1024**2)] = 64 * 1024
    """Request bodies up to this size are kept until the response begins, so that they can be sent again."""
    max_held_body_bytes: Annotated[int, Field(ge=1024**2)] = 256 * 1024**2
    """Bytes of request bodies buffered at the fleet's base URL until their `model` is known, over all requests: a
    larger body must name its model earlier (413), and while others hold as much, one that needs more is answered 503.
    Like the next three it is for all workers together: each allows its part."""
    max_open_requests: Annotated[int, Field(gt=0)] = 20_000
    """Requests open at the same time, over all services; further ones are answered 503."""
    max_connections: Annotated[int, Field(gt=0)] = 50_000
    """Downstream connections."""
    max_connections_per_address: Annotated[int, Field(gt=0)] = 10_000
    """Downstream connections from one address, of IPv6 from one /64; trusted proxies are exempt."""
    max_preflights_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 100.0
    """CORS preflight requests of one address (of IPv6: one /64) in a second; they are answered without a token."""
    max_head_bytes: Annotated[int, Field(ge=4096, le=1024**2)] = 65_536
    """Largest request head."""
    max_line_bytes: Annotated[int, Field(ge=1024, le=65536)] = 16_384
    max_header_bytes: Annotated[int, Field(ge=1024, le=65536)] = 16_384
    """Longest header field, its name and blanks included."""
    max_headers: Annotated[int, Field(ge=16, le=1024)] = 128
    remembered_tokens: Annotated[int, Field(gt=0)] = 10_000

    access_log_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of successful requests that are logged; errors always are."""
    error_log_lines_per_s: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Failed requests that one worker logs in a second at most; the number of the rest is logged once a second."""
    otel_endpoint: str = ""
    """OTLP over HTTP endpoint for spans, for example http://127.0.0.1:4318/v1/traces; needs the extra `otel`."""
    otel_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Sampled share of requests without a trace of their own."""

    @property
    def admin_address(self) -> str:
        """HOST:PORT of the admin pages, as reported to the manager."""
        listening = "" if self.admin_host in {"", "0.0.0.0", "::"} else self.admin_host
        host = self.admin_advertise_host or listening or socket.gethostname()
        return f"[{host}]:{self.admin_port}" if ":" in host else f"{host}:{self.admin_port}"


def identity_file(settings: Settings) -> Path | None:
    """Return where the identity on the bus is kept and renewed; None: it is `nats_credentials`, which is not renewed."""
    if not settings.manager_urls or settings.nats_credentials is None:
        return None
    return settings.data_dir / "identity.creds"
