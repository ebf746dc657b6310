"""Settings of the manager, with defaults."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import SettingsConfigDict

from headrace.common.bus.connect import Login
from headrace.common.contracts.cors import Origins
from headrace.common.contracts.ids import Slug
from headrace.common.contracts.revision import ABSOLUTE
from headrace.common.runtime.nats_urls import NatsUrl
from headrace.common.runtime.secrets_keys import SecretsKeys, texts
from headrace.common.runtime.settings import ServiceSettings
from headrace.common.runtime.tls import ServerCertificate, trusting
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.domain.console import ConsolePolicy
from headrace.manager.domain.logins import Lifetimes
from headrace.manager.domain.object_limits import DEFAULT_LIMITS, ObjectLimits
from headrace.manager.domain.own_ports import port_range
from headrace.manager.domain.source_policy import SourcePolicy, origin
from headrace.manager.folders.errors import RESERVE_BYTES
from headrace.manager.usecases.joining import Installation


class Settings(ServiceSettings):
    """Manager settings. Environment (HEADRACE_MANAGER_*) beats manager.toml beats these defaults."""

    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_MANAGER_", toml_file="manager.toml", extra="forbid", frozen=True
    )

    id: Slug | None = None
    """Name of this manager, unique among those of the installation (`headrace status`). None: its host's name and its port."""
    database_url: SecretStr
    """PostgreSQL, with user and password; with `?sslmode=verify-full`: by TLS. Several servers: `host1,host2`, with
    `target_session_attrs=read-write`."""
    database_connections: Annotated[int, Field(ge=2, le=200)] = 16
    nats_url: NatsUrl
    """nats://host:port, without credentials; tls:// for TLS. Of a cluster, the addresses of its servers, separated by commas: a
    service that loses one goes on with another."""
    nats_user: str = "manager"
    nats_password: SecretStr = SecretStr("")
    nats_credentials: Path | None = None
    """File with the signed identity and key (`.creds`) by which this service logs in, instead of user and password; it is
    read at each connect."""
    nats_replicas: Literal[1, 3, 5] = 1
    """Servers of a NATS cluster that keep each plan, route table and rule table. 3 of a cluster of three: it goes on without any
    one of them. Not more than the cluster has servers; may be changed while all of them run."""
    listen_host: str = "127.0.0.1"
    listen_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    tls_certificate: Path | None = None
    """Certificate of the API, with its chain (PEM), and then it is served by https only. A file that is replaced is used for
    new connections within ten seconds."""
    tls_key: Path | None = None
    """Its private key (PEM), without a password."""
    proxy_protocol_from: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(max_length=100)] = ()
    """Networks of load balancers before the API which say by the PROXY protocol, version 2, whose connection they pass on (HAProxy:
    `send-proxy-v2`): that address is in the audit log, and limited. Each connection from there must begin with it, none from
    elsewhere may. Empty: none does."""
    max_connections: Annotated[int, Field(ge=16, le=100_000)] = 2000
    """Callers' connections. Above it the one that waits longest without a request in hand is closed for a new one."""
    folders_root: Path
    """Where model folders lie, on a storage that agents see too."""
    admin_key_file: Path
    """The first admin's API key: at the first start it is taken from here if it exists, else written here (0600)."""
    secret_key: Annotated[SecretStr, Field(min_length=64, max_length=64)]
    """32 random bytes, hexadecimal, the same for all managers: keys hashes of API keys and encrypts what is kept secret."""
    secrets_keys: SecretsKeys = ()
    """Keys of the secrets that projects store, the same for all managers: the first one encrypts, all of them decrypt, and what
    another one encrypted is encrypted anew. A list of `ID:KEY` (16 and 64 hexadecimal digits), in which `secret-key` stands for
    one that follows from `secret_key`. Empty: that one. `headrace init DIR --rotate secrets-key` replaces them."""
    scrape_key: Annotated[SecretStr, Field(min_length=32, max_length=200)] | None = None
    """Credential with which Prometheus asks for scrape targets (`GET /v1/targets`), and which is good for nothing else. None:
    only operators' API keys are."""
    public_proxy_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")] = "http://127.0.0.1:8000"
    """Base URL of endpoints as callers see it."""
    proxy_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/]+)?$")] = ""
    """Base URL of endpoints as this manager reaches them, for calls of members through it. Empty: `public_proxy_url`."""
    public_url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/'\"$`\\]+)?$")] = ""
    """Base URL of this API as machines that join reach it."""
    bus_signing_file: Path | None = None
    """File of the keys by which identities of machines that join are signed (`bus/signing.json`), readable by the managers only; it
    is read again when it was replaced. Without it no machine can join."""
    identity_lifetime: Annotated[timedelta, Field(ge=timedelta(minutes=1), le=timedelta(days=365))] = timedelta(days=7)
    """For how long an identity of a machine that joined is signed; its service has it renewed at a third of that."""
    machines_nats_url: str = ""
    """NATS as machines that join reach it. Empty: the same as `nats_url`."""
    wheels_dir: Path | None = None
    """Folder of wheels, Headrace's own and those that it needs, from which machines that join install it (`make wheelhouse`)."""
    agent_image: Annotated[str, StringConstraints(pattern=r"^([a-z0-9][A-Za-z0-9._/:@-]*)?$", max_length=500)] = ""
    """Image of the agent, of the managers' version, as machines that join by `--docker` have or pull it:
    `registry.example.com/headrace-agent:1.2.3`."""
    endpoint_ports: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}-[0-9]{1,5}$")] = "10000-19999"
    """Ports that services may have for their own at the app-proxies (`--endpoint-port`)."""
    reserved_ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = ()
    """Those of them that something else listens on where app-proxies run; the app-proxies have the same setting."""
    upload_limit_bytes: Annotated[int, Field(gt=0)] = 1 << 40
    """Largest single file."""
    storage_reserve_bytes: Annotated[int, Field(ge=0)] = RESERVE_BYTES
    """So much of the disk of `folders_root` is left free by uploads; who needs more than what is beyond it is refused (507)."""
    hub_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@]+(/[^\s@]*)?$")] = (
        "https://huggingface.co"
    )
    """Where models of `hf://` URIs are; also a mirror of it, or a hub of one's own that speaks its protocol."""
    s3_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@]+$")] = (
        "https://s3.us-east-1.amazonaws.com"
    )
    """Server of the buckets of `s3://` URIs: of AWS that of a region, or one of one's own; buckets are in its paths."""
    s3_region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")] = "us-east-1"
    """Its region, for signatures."""
    model_uri_schemes: tuple[Literal["hf", "https", "s3", "http"], ...] = ("hf", "https", "s3")
    """Model URIs that services may have: of `hf`, `https`, `s3`, and `http`, which is not encrypted. Empty: none. `file` has
    `model_paths`."""
    model_uri_hosts: Annotated[
        tuple[Annotated[str, StringConstraints(pattern=r"^\.?[a-z0-9.-]+$", max_length=253)], ...],
        Field(max_length=1000),
    ] = ()
    """Hosts that are contacted for model URIs, also by redirects; `.example.com` stands for all below it. Empty: all.
    `hub_endpoint` and `s3_endpoint` are allowed in any case; the hosts to which they redirect are not."""
    model_uri_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(max_length=1000)] = ()
    """Networks that are contacted for model URIs although they are not public: private, loopback and link-local addresses are
    refused otherwise, `hub_endpoint` and `s3_endpoint` among them."""
    webhook_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(max_length=1000)] = ()
    """Networks that webhooks may lead to although they are not public: private, loopback and link-local addresses are refused
    otherwise."""
    webhook_schemes: Annotated[tuple[Literal["https", "http"], ...], Field(min_length=1)] = ("https",)
    """Schemes of webhooks' URLs. With http everybody on the way reads the events."""
    model_paths: Annotated[
        dict[Annotated[str, StringConstraints(pattern=ABSOLUTE, max_length=1000)], tuple[str, ...]],
        Field(max_length=1000),
    ] = {}
    """Directories on the machines below which services may name their model (`file:///mnt/models/…`), each with the names of the
    projects that may (`*`: all). Agents have such directories in `model_roots`."""
    model_credentials_file: Path | None = None
    """File (TOML) with tokens for model URIs, and which projects may use each: docs/folders.md. It is read at each use."""
    replica_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks in which machines, and so replicas, may be; requests of callers go nowhere else. Empty: everywhere but at
    loopback and link-local addresses. Name those of your machines, and `127.0.0.0/8` where agents and app-proxies share one."""
    replica_ports: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}-[0-9]{1,5}$")] = "20000-32767"
    """Host ports on which replicas may be: what the agents' `port_range` says, and nothing that runs besides on machines."""
    services_per_project: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_LIMITS.services_per_project
    """Further ones are refused, as with all that follow."""
    folders_per_project: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_LIMITS.folders_per_project
    shares_per_folder: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.shares_per_folder
    """Projects that a folder is shared with, and open invitations; as many open invitations a user may have."""
    uploads_per_project: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_LIMITS.uploads_per_project
    """Uploads that are open."""
    storage_bytes_per_project: Annotated[int, Field(ge=0)] = DEFAULT_LIMITS.storage_bytes_per_project
    """What a project's folders may hold, unless its quota has `storage`."""
    stored_files_per_project: Annotated[int, Field(ge=0)] = DEFAULT_LIMITS.stored_files_per_project
    """Files and directories in them, unless its quota has `files`."""
    measure_folders_every: Annotated[timedelta, Field(ge=timedelta(minutes=1))] = timedelta(days=1)
    """How often each folder is walked to count what uploads did not: files written by containers, or lost in a crash."""
    trash_kept_for: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=365))] = timedelta(days=7)
    """How long deleted folders can be restored; they count for the quota until then. 0: they are removed at once."""
    secrets_per_project: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.secrets_per_project
    webhooks_per_project: Annotated[int, Field(ge=1, le=1_000)] = DEFAULT_LIMITS.webhooks_per_project
    resource_presets_per_project: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.resource_presets_per_project
    """Sizes of its own; as many for all projects."""
    validations_per_project: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.validations_per_project
    """Trial runs that have not ended."""
    members_per_project: Annotated[int, Field(ge=1, le=100_000)] = DEFAULT_LIMITS.members_per_project
    revisions_per_service: Annotated[int, Field(ge=2, le=100_000)] = DEFAULT_LIMITS.revisions_per_service
    """Not refused: further ones push out the oldest that nothing uses."""
    tokens_per_service: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.tokens_per_service
    """Tokens that have not expired; revoked ones stand in the service's route table until then."""
    tokens_per_project: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.tokens_per_project
    """Tokens of the whole project: they stand in the route table of each of its services."""
    clients_per_service: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.clients_per_service
    rules_per_service: Annotated[int, Field(ge=1, le=1000)] = DEFAULT_LIMITS.rules_per_service
    keys_per_user: Annotated[int, Field(ge=1, le=10_000)] = DEFAULT_LIMITS.keys_per_user
    """API keys that have not expired."""
    login_idle: Annotated[timedelta, Field(ge=timedelta(minutes=5), le=timedelta(days=90))] = timedelta(hours=12)
    """A login without a request for so long has ended."""
    login_lifetime: Annotated[timedelta, Field(ge=timedelta(minutes=5), le=timedelta(days=90))] = timedelta(days=7)
    """A login ends after so long in any case; those that there are keep their end."""
    insecure_console: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=253)], ...], Field(max_length=100)
    ] = ()
    """Hosts (names or addresses, without a port) at which browsers may log in by plain http, where everybody on the way can read
    along. This machine's own need not be named."""
    console_dir: Path | None = None
    """Folder of a web console that was built. None: the one that is part of the installation; in a checkout `build/console`."""
    console_chat_origins: Origins = ()
    """Origins besides the managers' own to which the web console's page may send chats: other OpenAI-compatible servers, which
    must allow it by CORS. Empty: none."""
    lost_after: timedelta = timedelta(seconds=8)
    """A machine that is silent for so long is lost, and its replicas are replaced."""
    reconcile_every: timedelta = timedelta(seconds=2)
    """Longest wait before a lost poke is made good."""
    verify_every: timedelta = timedelta(seconds=10)
    """How often the bus is compared with what was published; what is missing there is published again."""
    forget_sessions_after: timedelta = timedelta(days=7)
    """Ended sessions are kept so long, those with an uncleared error as long as the error."""
    forget_errors_after: timedelta = timedelta(days=30)
    """Failed starts that nobody cleared are kept so long, and of one service the newest 100."""
    forget_receipts_after: timedelta = timedelta(days=90)
    """Receipts of drains are kept so long."""
    forget_events_after: timedelta = timedelta(days=365)
    """History and scale decisions are kept so long."""
    forget_usage_after: timedelta = timedelta(days=366)
    """Usage is kept so long, also of what is gone."""
    usage_hours_kept: timedelta = timedelta(days=62)
    """Usage of callers is kept by hour so long, and by day from then on."""
    forget_deleted_after: timedelta = timedelta(days=30)
    """Services that were deleted (with all that is theirs), tokens, clients and keys that are over, and machines that are away."""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key: allowed: both, or none")
        if self.bus_signing_file is not None and not self.public_url:
            raise ValueError("bus_signing_file needs public_url: the URL at which machines that join reach the API")
        return self


def certificate(settings: Settings) -> ServerCertificate | None:
    """Return the certificate of the API, if it has one. Raises TlsFileError."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return ServerCertificate(settings.tls_certificate, settings.tls_key)


def bus_login(settings: Settings) -> Login:
    """Return how managers log in to the bus. Secret."""
    return Login(
        settings.nats_url,
        settings.nats_user,
        settings.nats_password.get_secret_value(),
        "manager",
        credentials=settings.nats_credentials,
        ca_file=settings.ca_file,
    )


def database_address(settings: Settings) -> str:
    """Return the database's URL, with the authority by which it is verified. Secret."""
    return trusting(settings.database_url.get_secret_value(), settings.ca_file)


def scrape_key(settings: Settings) -> str | None:
    """Return the credential for scrape targets, if there is one. Secret."""
    return settings.scrape_key.get_secret_value() if settings.scrape_key is not None else None


def object_limits(settings: Settings) -> ObjectLimits:
    """Return how many objects of a kind there may be."""
    return ObjectLimits(**{field.name: getattr(settings, field.name) for field in fields(ObjectLimits)})


def address_policy(settings: Settings) -> AddressPolicy:
    """Return the address policy of replicas. Raises ValueError when the ports are no range."""
    return AddressPolicy(settings.replica_networks, *port_range(settings.replica_ports))


def console_policy(settings: Settings) -> ConsolePolicy:
    """Return where the web console is."""
    hosts = frozenset(host.lower() for host in settings.insecure_console)
    return ConsolePolicy(settings.public_url, settings.public_proxy_url, hosts)


def console_problem(settings: Settings) -> str | None:
    """Return why browsers cannot log in at all; None if they can."""
    shared = console_policy(settings).shared_origin()
    return None if shared is None else f"public_url and public_proxy_url have the same origin, {shared}"


def login_lifetimes(settings: Settings) -> Lifetimes:
    """Return how long a login lasts."""
    return Lifetimes(settings.login_idle, settings.login_lifetime)


def installation_of(settings: Settings) -> Installation:
    """Return what machines that join are told of the installation."""
    # A machine that joins fetches model folders; where the storage is mounted, writable mounts work there too.
    agent = {"folders_root": str(settings.folders_root)}
    return Installation(
        settings.public_url,
        settings.machines_nats_url or settings.nats_url,
        settings.ca_file,
        {"agent": agent, "proxy": {"advertise_url": settings.public_proxy_url}},
        agent_image=settings.agent_image,
    )


def source_policy(settings: Settings) -> SourcePolicy:
    """Return which model URIs are allowed, and which hosts are contacted for them."""
    own = {found for url in (settings.hub_endpoint, settings.s3_endpoint) if url and (found := origin(url))}
    return SourcePolicy(
        frozenset(settings.model_uri_schemes),
        settings.model_uri_hosts,
        settings.model_uri_networks,
        frozenset(own),
        settings.model_paths,
    )


def webhook_policy(settings: Settings) -> SourcePolicy:
    """Return which URLs webhooks may have, and which addresses are contacted for them."""
    return SourcePolicy(
        frozenset(settings.webhook_schemes), (), settings.webhook_networks, networks_setting="webhook_networks"
    )


def secrets_keys(settings: Settings) -> tuple[str, ...]:
    """Return the keys of secrets. Secret."""
    return texts(settings.secrets_keys)


def secret_bytes(settings: Settings) -> bytes:
    """Return the secret key as bytes. Raises ValueError when it is not hexadecimal."""
    return bytes.fromhex(settings.secret_key.get_secret_value())
