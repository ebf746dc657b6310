"""Options of an installation: addresses and names, from which certificates and configuration follow. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.addresses import FORBIDDEN_IN_WORDS, is_forbidden_address, parse_address
from headrace.common.runtime.redis_urls import MAX_SENTINELS, SENTINEL_PORT
from headrace.install.errors import InstallError

_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_LAST_PORT: Final = 65_535
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED: Final = frozenset({"manager", "manager-system", "autoscaler", "proxy-1", "system"})
"""Users of the bus that every installation has."""
MAX_AGENTS: Final = 1000
MAX_NAMES: Final = 100
CLUSTER_SIZES: Final = (3, 5)
"""Servers of a NATS cluster: an odd number, so that a majority goes on without some of them."""
ROUTES_ABOVE: Final = 2000
"""The servers of a NATS cluster reach each other at so much above the port of clients: at 6222, as is usual."""


MIN_SENTINELS: Final = 3
REDIS_PORT: Final = 6379
_SENTINEL_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")


class Layout(StrEnum):
    """Where the processes run that the files are for."""

    COMPOSE = "compose"
    HOST = "host"


class Address(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class NatsServer(BaseModel):
    """Server of a NATS cluster. It keeps its name, by which the others know what it stores."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    address: Address

    @property
    def routes(self) -> Address:
        """Where the other servers reach it."""
        return Address(self.address.host, self.address.port + ROUTES_ABOVE)


class Agent(BaseModel):
    """Machine that is given an identity from the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    address: str = ""
    """Where app-proxies reach its replicas; empty: 127.0.0.1."""


class Plan(BaseModel):
    """Options of an installation, as stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    """Base URL of the API as its callers see it."""
    proxy_url: str
    """Base URL of the endpoints."""
    layout: Layout = Layout.COMPOSE
    names: tuple[str, ...] = ()
    """Further host names and addresses of the API and the bus."""
    database: Address
    nats: Address
    """Of a cluster, its first server."""
    nats_cluster: tuple[NatsServer, ...] = ()
    """Servers of the cluster; empty: one server, at `nats`."""
    redis: Address
    """With Sentinels, the server that is the primary at first."""
    sentinels: tuple[Address, ...] = ()
    """Sentinels that name the primary; empty: one server, at `redis`."""
    sentinel_service: str = ""
    """Name by which the Sentinels know the primary."""
    data: str = "/var/lib/headrace"
    """Folder of the servers' and services' data, where these run."""
    agents: tuple[Agent, ...] = ()

    @property
    def api(self) -> Address:
        """Address of the API in its URL."""
        return _address_of(self.url, 443)

    @property
    def nats_addresses(self) -> tuple[Address, ...]:
        """Addresses of all NATS servers."""
        return tuple(server.address for server in self.nats_cluster) or (self.nats,)

    @property
    def proxy(self) -> Address:
        """Address of the endpoints in their URL."""
        return _address_of(self.proxy_url, 443 if self.proxy_url.startswith("https") else 80)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Options as given on a command line; None: as stored, or the default."""

    url: str | None = None
    proxy_url: str | None = None
    layout: Layout | None = None
    names: Sequence[str] = ()
    database: str | None = None
    nats: str | None = None
    redis: str | None = None
    data: Path | None = None
    agents: Sequence[str] = ()


_SERVERS: Final = {
    Layout.COMPOSE: (Address("postgres", 5432), Address("nats", 4222), Address("valkey", 6379)),
    Layout.HOST: (Address("127.0.0.1", 5432), Address("127.0.0.1", 4222), Address("127.0.0.1", 6379)),
}
_AGENTS: Final = (Agent(name="agent-1", address="127.0.0.1"),)
"""On the same machine as the app-proxy, also with compose: both use the machine's own network there."""


def planned(given: Choices, stored: Plan | None) -> Plan:
    """Return the plan: what is given, else what is stored, else defaults. Names and agents are added to the stored ones.

    The host of a former URL stays as a name, for those who still use it.

    Raises InstallError, naming the option.
    """
    url = given.url if given.url is not None else stored.url if stored else None
    if url is None:
        raise InstallError("a new installation needs --url; allowed: https://HOST[:PORT] of the API")
    url = _checked_url(url, "--url", "https")
    layout = given.layout or (stored.layout if stored else Layout.COMPOSE)
    if stored is not None and layout != stored.layout:
        raise InstallError(f"--layout: found {layout}; allowed: {stored.layout}, with which this folder was made")
    database, nats, redis = (stored.database, stored.nats, stored.redis) if stored else _SERVERS[layout]
    proxy_url = given.proxy_url or (
        stored.proxy_url if stored else f"http://{_written(_address_of(url, 443).host)}:8000"
    )
    data = given.data if given.data is not None else Path(stored.data if stored else "/var/lib/headrace")
    if not data.is_absolute():
        raise InstallError(f"--data-dir: found {ascii(str(data))[1:-1]}; allowed: an absolute path")
    check_path(data, "--data-dir")
    cluster = _nats_cluster(given.nats, stored, layout, nats)
    return Plan(
        url=url,
        proxy_url=_checked_url(proxy_url, "--proxy-url", "http", "https"),
        layout=layout,
        names=_merged(_known_names(stored, _address_of(url, 443).host), given.names),
        database=_address(given.database, "--database", database),
        nats=cluster[0].address if cluster else _address(given.nats, "--nats", nats),
        nats_cluster=cluster,
        **_redis(given.redis, stored, redis),
        data=str(data),
        agents=_agents(stored.agents if stored else (), given.agents) or _AGENTS,
    )


def is_host(text: str) -> bool:
    """Return True for a host name in lower case, or an IP address."""
    if _ip(text) is not None:
        return True
    return _HOST.fullmatch(text) is not None and not text.rpartition(".")[2].isdecimal()


def is_loopback(host: str) -> bool:
    """Return True for a host that only its own machine reaches."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def check_path(path: Path, option: str) -> None:
    """Raise InstallError for a path that not every configuration file can hold."""
    text = str(path)
    if not text.isprintable() or set(text) & set("\"'\\"):
        raise InstallError(
            f"{option}: found {ascii(text)[1:-1]}; allowed: a path without control characters, quotes and backslashes"
        )


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address; None for anything else, also for one with a zone (`fe80::1%eth0`)."""
    return None if "%" in text else parse_address(text)


def _checked_url(text: str, option: str, *schemes: str) -> str:
    allowed = " or ".join(f"{scheme}://HOST[:PORT]" for scheme in schemes)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    extra = parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment
    if parts.scheme not in schemes or not is_host(host) or extra or port == 0:
        found = text if parts.username is None and "@" not in text else "one with a user or password"
        raise InstallError(f"{option}: found {found}; allowed: {allowed}")
    return f"{parts.scheme}://{_written(host)}{f':{port}' if port else ''}"


def _address_of(url: str, default_port: int) -> Address:
    parts = urlsplit(url)
    return Address(parts.hostname or "", parts.port or default_port)


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(text: str | None, option: str, default: Address) -> Address:
    if text is None:
        return default
    try:
        parts = urlsplit(f"//{text}")
        address = Address(parts.hostname or "", parts.port or default.port)
    except ValueError:
        address = Address("", 0)
    if not is_host(address.host) or text.lower() not in {str(address), _written(address.host)}:
        raise InstallError(
            f"{option}: found {text or 'nothing'}; allowed: HOST or HOST:PORT, without scheme or password"
        )
    return address


def _redis(text: str | None, stored: Plan | None, default: Address) -> dict[str, Any]:
    """Return the fields of the plan about Redis: one server, or Sentinels, on whose machines the servers run, too."""
    scheme, separator, rest = (text or "").partition("://")
    if not separator or scheme not in _SENTINEL_SCHEMES:
        address = _address(text, "--redis", default)
        kept = stored is not None and text is None
        return {
            "redis": address,
            "sentinels": stored.sentinels if kept and stored else (),
            "sentinel_service": stored.sentinel_service if kept and stored else "",
        }
    hosts, _, service = rest.partition("/")
    if "@" in hosts:
        raise InstallError(
            "--redis: found a login in the address; allowed: none, since this command makes the password"
        )
    sentinels = tuple(_address(one, "--redis", Address("", SENTINEL_PORT)) for one in hosts.split(","))
    if not _NAME.fullmatch(service) or not MIN_SENTINELS <= len(set(sentinels)) == len(sentinels) <= MAX_SENTINELS:
        raise InstallError(
            f"--redis: found {ascii(text)[1:-1]}; allowed: HOST or HOST:PORT, or redis+sentinel://HOST[:PORT],…/NAME with "
            f"{MIN_SENTINELS} to {MAX_SENTINELS} different Sentinels, the name of small letters, digits and dashes, without a password"
        )
    return {
        "redis": Address(sentinels[0].host, REDIS_PORT),
        "sentinels": sentinels,
        "sentinel_service": service,
    }


def _nats_cluster(text: str | None, stored: Plan | None, layout: Layout, default: Address) -> tuple[NatsServer, ...]:
    """Return the servers of the cluster; none for one server. Those that are known keep their names."""
    known = stored.nats_cluster if stored else ()
    if text is None:
        return known
    addresses = [_address(one, "--nats", default) for one in text.split(",")]
    if len(addresses) == 1 and not known:
        return ()
    if len(addresses) not in CLUSTER_SIZES or len(set(addresses)) < len(addresses):
        raise InstallError(
            f"--nats: found {text}; allowed: {'' if known else 'one server, or '}3 or 5 different ones of a cluster"
        )
    if layout is Layout.COMPOSE:
        raise InstallError(
            f"--nats: found {len(addresses)} servers; allowed: one with --layout {layout}, which starts it itself; "
            f"several with --layout {Layout.HOST}"
        )
    if any(one.port > _LAST_PORT - ROUTES_ABOVE for one in addresses):
        raise InstallError(
            f"--nats: found {text}; allowed: ports up to {_LAST_PORT - ROUTES_ABOVE}, "
            f"since the servers reach each other at {ROUTES_ABOVE} above"
        )
    names = {server.address: server.name for server in known if server.address in addresses}
    free = (name for name in (f"nats-{number}" for number in range(1, 100)) if name not in names.values())
    servers = [NatsServer(name=names.get(one) or next(free), address=one) for one in addresses]
    return tuple(sorted(servers, key=lambda server: server.name))


def _known_names(stored: Plan | None, host: str) -> tuple[str, ...]:
    if stored is None:
        return ()
    return stored.names if stored.api.host in {host, *stored.names} else (*stored.names, stored.api.host)


def _merged(stored: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    for name in given:
        if not is_host(name):
            raise InstallError(f"--name: found {name}; allowed: a host name in lower case, or an IP address")
    names = tuple(dict.fromkeys([*stored, *given]))
    if len(names) > MAX_NAMES:
        raise InstallError(f"--name: found {len(names)} names; allowed: {MAX_NAMES}")
    return names


def _agents(stored: Sequence[Agent], given: Sequence[str]) -> tuple[Agent, ...]:
    agents = {agent.name: agent for agent in stored}
    named: dict[str, str] = {}
    for text in given:
        name, _, address = text.partition("=")
        if not _NAME.fullmatch(name):
            raise InstallError(
                f"--agent: found {ascii(text)[1:-1]}; allowed: NAME or NAME=ADDRESS, the name of small letters, digits and dashes"
            )
        if name in _RESERVED:
            raise InstallError(
                f"--agent: found {name}, which is reserved; allowed: a name other than {', '.join(sorted(_RESERVED))}"
            )
        _check_machine(text, address)
        if named.setdefault(name, text) != text:
            raise InstallError(f"--agent: found {named[name]} and {text}; allowed: each name once")
        agents[name] = Agent(name=name, address=address)
    if len(agents) > MAX_AGENTS:
        raise InstallError(
            f"--agent: found {len(agents)} agents; allowed: {MAX_AGENTS}, further ones join by themselves"
        )
    return tuple(agents.values())


def _check_machine(text: str, address: str) -> None:
    """Raise InstallError for an address at which managers accept no machine. Loopback is one of this machine, which they accept."""
    if not address:
        return
    found = _ip(address)
    if found is None:
        raise InstallError(
            f"--agent: found {ascii(text)[1:-1]}; allowed: an IP address, at which app-proxies reach the machine"
        )
    if is_forbidden_address(found) and not found.is_loopback:
        raise InstallError(
            f"--agent: found {text}; allowed: an address that managers accept: none of {FORBIDDEN_IN_WORDS.replace('loopback, ', '')}"
        )
