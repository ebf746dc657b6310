"""Settings of the autoscaler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import SettingsConfigDict

from headrace.common.contracts.addresses import MANAGER_URL
from headrace.common.contracts.ids import Slug
from headrace.common.runtime.nats_urls import NatsUrl
from headrace.common.runtime.redis_urls import RedisUrl
from headrace.common.runtime.settings import ServiceSettings

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(ServiceSettings):
    """Autoscaler settings. Environment (HEADRACE_AUTOSCALER_*) beats autoscaler.toml beats these defaults.

    Times in seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_AUTOSCALER_", toml_file="autoscaler.toml", extra="forbid", frozen=True
    )
    id: Slug
    """Name of this autoscaler, unique among those of the installation."""
    nats_url: NatsUrl
    """nats://host:port, without credentials; tls:// for TLS. Of a cluster, the addresses of its servers, separated by commas: a
    service that loses one goes on with another."""
    nats_user: str = "autoscaler"
    nats_password: SecretStr = SecretStr("")
    nats_credentials: Path | None = None
    """File with the signed identity and key (`.creds`) by which this service logs in, instead of user and password; it is
    read at each connect."""
    manager_urls: tuple[Annotated[str, StringConstraints(pattern=MANAGER_URL)], ...] = ()
    """Managers' API (`https://host:port`), by which the identity is renewed: a JSON list. Empty: it is not renewed."""
    data_dir: Path | None = None
    """Folder in which the renewed identity is kept. None: it replaces the file of `nats_credentials`."""
    redis_url: RedisUrl
    """redis://[[user]:password@]host:port/db; rediss:// for TLS. Of Sentinels, which name the server:
    redis+sentinel://[[user]:password@]host:port,host:port/service/db?sentinel_password=…; rediss+sentinel:// for TLS."""
    admin_host: str = "127.0.0.1"
    admin_port: Annotated[int, Field(ge=0, le=65535)] = 8094
    """/livez, /readyz, /metrics; 0 takes a free port."""
    tick_s: Seconds = 1.0
    """Pause between two evaluations of all rules."""
    flush_s: Seconds = 0.25
    """How long samples are gathered before they are written to Redis."""
    window_s: Seconds = 10.0
    """Over how much time each reporter's values are averaged."""
    freshness_s: Seconds = 10.0
    """A reporter that is silent for longer does not count."""
    lease_s: Annotated[float, Field(ge=0.5, le=60)] = 3.0
    """How long a service stays with an autoscaler that died."""
    report_s: Seconds = 10.0
    """Longest pause between two reports of a service's rules."""
    ask_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How long the manager's answer to a scale request is waited for."""
    patience_s: Seconds = 10.0
    """How long a lost answer blocks a service before the request counts as not done. More than ask_timeout_s."""
    redis_timeout_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest silence of Redis in one command."""


def identity_file(settings: Settings) -> Path | None:
    """Return where the identity on the bus is kept and renewed; None: it is `nats_credentials`, which is not renewed."""
    if not settings.manager_urls or settings.nats_credentials is None:
        return None
    return settings.data_dir / "identity.creds" if settings.data_dir is not None else settings.nats_credentials
