"""Every file of an installation, rendered from its state: same state, same files. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from headrace.install.bus import NatsFiles, bus_credentials, bus_signing, nats_config
from headrace.install.compose import files as compose
from headrace.install.plan import Address, Layout, NatsServer, Plan, is_loopback
from headrace.install.state import SYSTEM_USER, State

STATE: Final = "installation.json"
STATE_IS: Final = (
    "all secrets and signing keys, from which the other files follow: no service reads it; keep a copy elsewhere"
)
IN_CONTAINERS: Final = "/etc/headrace"
_MONITORING: Final = {
    ".yml": "read by Prometheus",
    ".yaml": "read by Grafana at its start",
    ".json": "dashboard of Grafana",
}
_COMPOSE_API_PORT: Final = 8443
_PRIVATE_NETWORKS: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""RFC 1918 and RFC 4193: where machines of a fleet mostly are."""
_COMPOSE_PROXY_PORT: Final = 8000
_FIRST_FREE_PORT: Final = 1024
"""Ports below it are for processes with a privilege, which the app-proxy's container lacks."""
_MAX_MEMORY: Final = "256mb"
"""Of Redis: metric windows are bounded and expire; beyond this a write is refused, so that the machine's memory is not filled."""
_CERTIFICATE_OF: Final = {
    "api": "the API",
    "nats": "NATS",
    "database": "PostgreSQL",
    "redis": "Redis or Valkey",
    "grafana": "Grafana",
}


@dataclass(frozen=True, slots=True)
class File:
    """Content of one file; `what` says what it is, for people."""

    content: str = field(repr=False)
    what: str
    secret: bool = True
    group_may_read: bool = False
    """It is left as it is where an operator lets its group read it."""


def rendered(state: State, folder: Path) -> dict[str, File]:
    """Return path in the folder → file, without the state's own. `folder`: where it is on this machine."""
    at = IN_CONTAINERS if state.plan.layout is Layout.COMPOSE else str(folder)
    return {
        **_certificates(state),
        **_bus(state, at),
        **_database(state, at),
        **_redis(state, at),
        **_services(state, at),
        "admin.key": File(
            f"{state.admin_key}\n", "API key of the first operator: headrace login --url … --ca tls/ca.crt"
        ),
        **(_compose(state) if state.plan.layout is Layout.COMPOSE else {}),
        **(
            {"prometheus/scrape.key": File(f"{state.scrape_key}\n", "credential of Prometheus for scrape targets")}
            if state.scrape_key
            else {}
        ),
    }


def _certificates(state: State) -> dict[str, File]:
    authorities = "".join(pair.certificate for pair in state.authorities)
    files = {"tls/ca.crt": File(authorities, "the authority by which all clients verify the servers", secret=False)}
    whose_of = {**_CERTIFICATE_OF, **{one.name: _server(one) for one in state.plan.nats_cluster}}
    for name, pair in state.certificates.items():
        whose = whose_of[name]
        files[f"tls/{name}.crt"] = File(pair.certificate, f"certificate of {whose}", secret=False)
        files[f"tls/{name}.key"] = File(pair.key, f"private key of {whose}", group_may_read=name == "database")
    return files


def _bus(state: State, at: str) -> dict[str, File]:
    said = {"manager": "the managers", "autoscaler": "the autoscalers", "proxy-1": "app-proxy proxy-1"}
    said[SYSTEM_USER] = "who replaces accounts in NATS: no service reads it"
    return {
        **_nats(state, at),
        "bus/signing.json": File(
            f"{bus_signing(state).model_dump_json(indent=1)}\n",
            "what managers sign identities of machines that join with, and take them back with",
        ),
        **{
            f"bus/{name}.creds": File(content, f"identity on the bus of {said.get(name, f'agent {name}')}")
            for name, content in bus_credentials(state).items()
        },
    }


def _nats(state: State, at: str) -> dict[str, File]:
    """Return the configuration of the server, or of each server of the cluster."""
    plan = state.plan
    compose = plan.layout is Layout.COMPOSE

    def files(name: str) -> NatsFiles:
        store = "/data" if compose else f"{plan.data}/{name}"
        return NatsFiles(store, f"{at}/tls/{name}.crt", f"{at}/tls/{name}.key", f"{at}/tls/ca.crt")

    if not plan.nats_cluster:
        listen = Address(_listen_host(plan, plan.nats), plan.nats.port)
        config = nats_config(state, listen=str(listen), files=files("nats"), health_port=8222 if compose else None)
        return {"nats/nats.conf": File(config, "configuration of NATS", secret=False)}
    made = {}
    for server in plan.nats_cluster:
        host = _listen_host(plan, server.address)
        config = nats_config(
            state,
            listen=str(Address(host, server.address.port)),
            files=files(server.name),
            member=server,
            routes=str(Address(host, server.routes.port)),
        )
        made[f"nats/{server.name}.conf"] = File(config, f"configuration of {_server(server)}", secret=False)
    return made


def _server(server: NatsServer) -> str:
    return f"NATS server {server.name} at {server.address}"


def _database(state: State, at: str) -> dict[str, File]:
    roles = (
        "-- As a superuser, connected to the database headrace; may be run again: psql -f roles.sql headrace",
        "DO $$ BEGIN",
        "  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'headrace') THEN CREATE ROLE headrace; END IF;",
        "END $$;",
        "ALTER ROLE headrace LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION",
        f"  PASSWORD '{state.passwords['database']}';",
        "ALTER DATABASE headrace OWNER TO headrace;",
        "ALTER SCHEMA public OWNER TO headrace;",
    )
    config: tuple[str, ...] = (
        f"# Included by postgresql.conf: include '{at}/postgres/headrace.conf'",
        "ssl = on",
        f"ssl_cert_file = '{at}/tls/database.crt'",
        f"ssl_key_file = '{at}/tls/database.key'",
        "ssl_min_protocol_version = 'TLSv1.2'",
        "password_encryption = 'scram-sha-256'",
    )
    access: tuple[str, ...] = (
        "# Before other lines of pg_hba.conf: the managers, with a password, by TLS only.",
        "hostssl headrace headrace all scram-sha-256",
        "host headrace headrace all reject",
    )
    if state.plan.layout is Layout.COMPOSE:
        config = (*config, "listen_addresses = '*'", f"hba_file = '{at}/postgres/pg_hba.conf'")
        access = (*access, "# The superuser: from inside of the container only.", "local all postgres peer")
    return {
        "postgres/roles.sql": File(
            _lines(roles), "role and password of the managers, for PostgreSQL's superuser to run"
        ),
        "postgres/headrace.conf": File(_lines(config), "settings of PostgreSQL: TLS", secret=False),
        "postgres/pg_hba.conf": File(_lines(access), "who may connect to PostgreSQL", secret=False),
    }


def _redis(state: State, at: str) -> dict[str, File]:
    plan = state.plan
    lines: tuple[str, ...] = (
        f"bind {_listen_host(plan, plan.redis)}",
        "port 0",
        f"tls-port {plan.redis.port}",
        f'tls-cert-file "{at}/tls/redis.crt"',
        f'tls-key-file "{at}/tls/redis.key"',
        f'tls-ca-cert-file "{at}/tls/ca.crt"',
        "tls-auth-clients no",
        f"requirepass {state.passwords['redis']}",
        f'dir "{"/data" if plan.layout is Layout.COMPOSE else f"{plan.data}/redis"}"',
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        f"maxmemory {_MAX_MEMORY}",
        "maxmemory-policy noeviction",
    )
    if not plan.sentinels:
        return {"redis/redis.conf": File(_lines(lines), "configuration of Redis or Valkey")}
    lines = (*lines, "tls-replication yes", f"masterauth {state.passwords['redis']}")
    return {
        "redis/redis.conf": File(
            _lines(lines), "configuration of each server of Redis or Valkey, which changes its copy"
        ),
        "redis/sentinel.conf": File(
            _lines(_sentinel(state, at)), "configuration of each Sentinel, which changes its copy"
        ),
    }


def _sentinel(state: State, at: str) -> Iterable[str]:
    plan, service, password = state.plan, state.plan.sentinel_service, state.passwords["redis"]
    return (
        f"bind {_listen_host(plan, plan.sentinels[0])}",
        "port 0",
        f"tls-port {plan.sentinels[0].port}",
        f'tls-cert-file "{at}/tls/redis.crt"',
        f'tls-key-file "{at}/tls/redis.key"',
        f'tls-ca-cert-file "{at}/tls/ca.crt"',
        "tls-auth-clients no",
        "tls-replication yes",
        f"requirepass {password}",
        f'dir "{plan.data}/sentinel"',
        "# Clients are told the names that the certificate has.",
        "sentinel resolve-hostnames yes",
        "sentinel announce-hostnames yes",
        f"sentinel monitor {service} {plan.redis.host} {plan.redis.port} {len(plan.sentinels) // 2 + 1}",
        f"sentinel auth-pass {service} {password}",
        f"sentinel down-after-milliseconds {service} 5000",
        f"sentinel failover-timeout {service} 30000",
    )


def _elsewhere(plan: Plan, address: str) -> dict[str, Any]:
    """Return the settings of an agent on a machine of its own: it fetches model folders from the managers."""
    return {
        "folder_access": "fetch",
        "manager_urls": [plan.url],
        "advertise_host": address,
        "bind_address": address,
    }


def _services(state: State, at: str) -> dict[str, File]:
    plan = state.plan
    compose = plan.layout is Layout.COMPOSE
    redis_url = _redis_url(state)

    def common(user: str) -> dict[str, Any]:
        return {
            "ca_file": f"{at}/tls/ca.crt",
            "nats_url": _nats_url(plan.nats_addresses),
            "nats_user": user,
            "nats_credentials": f"{at}/bus/{user}.creds",
        }

    manager = {
        **common("manager"),
        **({"nats_replicas": 3} if plan.nats_cluster else {}),
        "database_url": f"postgresql://headrace:{state.passwords['database']}@{plan.database}/headrace?sslmode=verify-full",
        "listen_host": _listen_host(plan, plan.api),
        "listen_port": _COMPOSE_API_PORT if compose else plan.api.port,
        "tls_certificate": f"{at}/tls/api.crt",
        "tls_key": f"{at}/tls/api.key",
        "folders_root": f"{plan.data}/folders",
        "admin_key_file": f"{at}/admin.key",
        "secret_key": state.secret_key,
        **({"secrets_keys": list(state.secrets_keys)} if state.secrets_keys else {}),
        **({"scrape_key": state.scrape_key} if state.scrape_key else {}),
        "public_proxy_url": plan.proxy_url,
        "public_url": plan.url,
        "bus_signing_file": f"{at}/bus/signing.json",
        "machines_nats_url": _nats_url(_from_elsewhere(plan)),
        "replica_networks": _replica_networks(plan),
    }
    proxy = {
        **common("proxy-1"),
        "id": "proxy-1",
        "redis_url": redis_url,
        "listen_host": _listen_host(plan, plan.proxy),
        "listen_port": _proxy_port(plan),
        "data_dir": f"{plan.data}/appproxy",
        "advertise_url": plan.proxy_url,
    }
    autoscaler = {**common("autoscaler"), "id": "autoscaler-1", "redis_url": redis_url}
    agents = {
        agent.name: {
            **common(agent.name),
            "id": agent.name,
            "data_dir": f"{plan.data}/agents/{agent.name}",
            **(_elsewhere(plan, agent.address) if agent.address else {"folders_root": f"{plan.data}/folders"}),
        }
        for agent in plan.agents
    }
    return {
        "settings/manager.toml": File(_toml(manager), "settings of the managers (HEADRACE_MANAGER_CONFIG)"),
        "settings/proxy-1.toml": File(_toml(proxy), "settings of app-proxy proxy-1 (HEADRACE_APPPROXY_CONFIG)"),
        "settings/autoscaler.toml": File(_toml(autoscaler), "settings of the autoscaler (HEADRACE_AUTOSCALER_CONFIG)"),
        **{
            f"settings/{name}.toml": File(
                _toml(values), f"settings of agent {name} (HEADRACE_AGENT_CONFIG)", secret=False
            )
            for name, values in agents.items()
        },
    }


def _compose(state: State) -> dict[str, File]:
    plan = state.plan
    rows = {
        "HEADRACE_VERSION": compose.VERSION,
        "HEADRACE_URL": plan.url,
        "HEADRACE_API_PORT": plan.api.port,
        "HEADRACE_PROXY_PORT": _proxy_port(plan),
        "HEADRACE_DATA": plan.data,
    }
    variables = "".join(f"{name}={value}\n" for name, value in rows.items())
    return {
        ".env": File(variables, "variables of compose.yaml", secret=False),
        "compose.yaml": File(compose.text("compose.yaml"), "all parts as containers: docker compose up", secret=False),
        **{
            path: File(text, _MONITORING[Path(path).suffix], secret=False)
            for path, text in compose.monitoring().items()
        },
        "grafana/admin.password": File(f"{state.passwords['grafana']}\n", "password of Grafana's user admin"),
        "haproxy/haproxy.cfg": File(
            compose.text("haproxy.cfg"), "configuration of HAProxy, the API's one address", secret=False
        ),
    }


def _proxy_port(plan: Plan) -> int:
    """Return the port of the endpoints. In a container, where it is no privileged one, something else listens at those."""
    privileged = plan.proxy.port < _FIRST_FREE_PORT or plan.proxy_url.startswith("https:")
    return _COMPOSE_PROXY_PORT if plan.layout is Layout.COMPOSE and privileged else plan.proxy.port


def _replica_networks(plan: Plan) -> list[str]:
    """Return the networks of replicas: everywhere, unless a machine is reached by loopback.

    Loopback must be named, and then so must be all others: private networks, where machines join, and machines that are elsewhere.
    """
    addresses = sorted({agent.address for agent in plan.agents if agent.address})
    loopback = sorted({"::1/128" if ":" in one else "127.0.0.0/8" for one in addresses if is_loopback(one)})
    if not loopback:
        return []
    private = [ip_network(one) for one in _PRIVATE_NETWORKS]
    machines = [ip_address(one) for one in addresses if not is_loopback(one)]
    others = [one for one in machines if not any(one in network for network in private)]
    return [*loopback, *_PRIVATE_NETWORKS, *(f"{one}/{one.max_prefixlen}" for one in others)]


def _redis_url(state: State) -> str:
    plan, password = state.plan, state.passwords["redis"]
    if not plan.sentinels:
        return f"rediss://:{password}@{plan.redis}/0"
    hosts = ",".join(map(str, plan.sentinels))
    return f"rediss+sentinel://:{password}@{hosts}/{plan.sentinel_service}/0?sentinel_password={password}"


def _nats_url(addresses: Iterable[Address]) -> str:
    return ",".join(f"tls://{address}" for address in addresses)


def _from_elsewhere(plan: Plan) -> list[Address]:
    """Return the addresses of NATS for machines that join: a name of containers or of loopback leads nowhere there."""
    here = plan.layout is Layout.COMPOSE
    return [Address(plan.api.host, one.port) if here or is_loopback(one.host) else one for one in plan.nats_addresses]


def _listen_host(plan: Plan, address: Address) -> str:
    """Return where a server listens that is reached at `address`: all interfaces of its family, or that of loopback only."""
    if plan.layout is Layout.COMPOSE:
        return "0.0.0.0"
    if is_loopback(address.host):
        return "127.0.0.1" if address.host == "localhost" else address.host
    return "::" if ":" in address.host else "0.0.0.0"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _toml(values: Mapping[str, Any]) -> str:
    """Return settings as TOML: strings, numbers and lists of strings, whose JSON is TOML too."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
