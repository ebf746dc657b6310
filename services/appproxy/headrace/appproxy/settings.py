"""Settings of the app-proxy, with their defaults and what they mean."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from headrace.common.contracts.cors import Origins
from headrace.common.contracts.ids import ProxyId
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
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = "appproxy"
    nats_password: SecretStr = SecretStr("")

    listen_host: str = "0.0.0.0"
    """Where callers come in; services' own ports are opened on it too."""
    listen_port: Port = 8000
    reserved_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Ports that no service may have for its own, because something else listens there, even if not now: the bus, a database."""
    admin_host: str = "127.0.0.1"
    admin_port: Port = 8001
    """/livez, /readyz, /metrics and /routes."""
    data_dir: Path = Path("appproxy-data")
    """The last route tables are kept here."""
    first_tables_s: Annotated[float, Field(ge=0, le=60)] = 2.0
    """Longest wait at the start for the tables on the bus, so that what was revoked meanwhile is refused from the first request on.
    Callers wait in the sockets' backlog. Then, or where the bus is away, the tables on disk serve."""
    domain: str | None = None
    """With `models.example.com`, service `chat` is also `chat.models.example.com`."""
    advertise_url: str | None = None
    """Base URL that callers use, as told to the manager. Default: http://<listen_host>:<listen_port>."""
    trusted_peers: tuple[IPv4Network | IPv6Network, ...] = ()
    """Whose X-Forwarded-For, -Proto and -Host are believed: the proxies of one's own in front, for example ["10.0.0.0/8"]."""
    fleet_cors_origins: Origins = ()
    """CORS at the fleet's base URL (`/v1`): pages of these origins may call in browsers, for example ["https://app.example.com"];
    ["*"] for all. None: CORS is left to replicas there. Services' own addresses have their own setting (`cors`)."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes that carry the traffic, all on the same ports; one per core is of use. 0: the traffic shares the process of the bus
    and the admin pages (for development)."""
    redis_url: SecretStr = SecretStr("")
    """Where all app-proxies together keep callers' limits (docs/caller-limits.md): redis://[[user]:password@]host:port/db,
    rediss:// for TLS. Without it, each worker allows its part of every limit."""
    redis_timeout_s: Annotated[float, Field(gt=0, le=10)] = 0.25
    """Longest that a request waits for Redis; then its limits are judged in the worker."""

    connect_timeout_s: Seconds = 3.0
    head_timeout_s: Seconds = 10.0
    """How long the head of a request may take from its first byte on."""
    caller_idle_timeout_s: Seconds = 60.0
    """Longest pause of a caller in the middle of its request body, or in taking its answer."""
    min_body_bytes_per_s: Annotated[int, Field(ge=0, le=1024**2)] = 100
    """Least that a caller has to send of a request body, on the mean over `slow_body_grace_s`; 0 for no such bound."""
    slow_body_grace_s: Seconds = 30.0
    """How long a request body may be slower than that. What the proxy itself does not take in counts for nobody."""
    keepalive_timeout_s: Seconds = 75.0
    """How long an idle connection of a caller is kept."""
    replica_keepalive_s: Seconds = 4.0
    """How long an idle connection to a replica is kept: below the 5 s after which uvicorn, under most engines, closes it."""
    same_instant_s: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A kept connection lost this soon after being taken was closing already: its request is sent again on a fresh one."""
    shutdown_grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Longest wait for open requests after SIGTERM."""

    max_body_bytes: Annotated[int, Field(gt=0)] = 1024**3
    """Largest request body of services that set no limit of their own."""
    replay_bytes: Annotated[int, Field(ge=0, le=1024**2)] = 64 * 1024
    """Request bodies up to this size are kept until the answer begins, so that they can be sent again."""
    max_held_body_bytes: Annotated[int, Field(ge=1024**2)] = 256 * 1024**2
    """Bytes of request bodies that are held in memory at the fleet's base URL until their `model` has come, over all requests: a
    larger body has to name its model earlier (413), and while others hold as much, one that needs more is answered 503. Like the
    next three it is for all workers together: each allows its part."""
    max_open_requests: Annotated[int, Field(gt=0)] = 20_000
    """Requests open at the same time, over all services; further ones are answered 503."""
    max_connections: Annotated[int, Field(gt=0)] = 50_000
    """Callers' connections."""
    max_connections_per_address: Annotated[int, Field(gt=0)] = 10_000
    """Callers' connections from one address, of IPv6 from one /64; one's own proxies in front are not bound by it."""
    max_preflights_per_s: Annotated[float, Field(gt=0, le=1_000_000)] = 100.0
    """Browsers' preflight requests of one address (of IPv6: one /64) in a second; they are answered without a token."""
    max_head_bytes: Annotated[int, Field(ge=4096, le=1024**2)] = 65_536
    """Largest head, in all."""
    max_line_bytes: Annotated[int, Field(ge=1024, le=65536)] = 16_384
    max_header_bytes: Annotated[int, Field(ge=1024, le=65536)] = 16_384
    """Longest single header field, its name and blanks included."""
    max_headers: Annotated[int, Field(ge=16, le=1024)] = 128
    remembered_tokens: Annotated[int, Field(gt=0)] = 10_000

    access_log_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of successful requests that are logged; errors always are."""
    error_log_lines_per_s: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Most failed requests that one worker logs in a second; the rest is counted, and said once a second."""
    otel_endpoint: str = ""
    """Where spans go (OTLP over HTTP), for example http://127.0.0.1:4318/v1/traces; needs the extra `otel`."""
    otel_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of requests without a trace of their own that are traced."""
