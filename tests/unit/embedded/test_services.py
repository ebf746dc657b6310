"""What each service is told."""

from __future__ import annotations

import importlib
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.settings import Settings as AppProxySettings
from headrace.common.bus.permissions import UserKind, embedded_users
from headrace.embedded.process_supervisor import LONGEST_BACKOFF_S, backoff_s
from headrace.embedded.services import (
    MAX_AGENTS,
    Installation,
    Service,
    UpOptions,
    admin_names,
    default_services,
    service_environment,
)


def installation(**options: object) -> Installation:
    chosen = UpOptions(data=Path("/d"), **options)  # type: ignore[arg-type]  # a test's shorthand
    return Installation(
        options=chosen,
        data=Path("/d"),
        database_url="postgresql://headrace:dbsecret@127.0.0.1:1/headrace",
        nats_url="nats://127.0.0.1:2",
        redis_url="redis://:redissecret@127.0.0.1:3/0",
        nats_passwords={user.name: f"bus-{user.name}" for user in embedded_users(chosen.agents)},
        secret_key="ab" * 32,
        api_port=8080,
        proxy_port=8000,
        server_ports=(10_001, 10_002, 10_003),
        admin_ports={name: 15000 + n for n, name in enumerate(admin_names(chosen.agents))},
    )


def by_name(services: tuple[Service, ...]) -> dict[str, Service]:
    return {service.name: service for service in services}


def test_a_service_tells_whether_it_can_serve_at_its_own_listener_which_no_caller_reaches() -> None:
    there = installation(listen_host="0.0.0.0")
    services = by_name(default_services(there, {}))
    assert services["manager"].admin_url == "http://127.0.0.1:8080"
    assert (services["appproxy"].port, services["appproxy"].admin_url) == (8000, "http://127.0.0.1:15000")
    assert all(service.ready_url == f"{service.admin_url}/readyz" for service in services.values())


def test_the_manager_is_told_everything_it_needs() -> None:
    env = service_environment(installation(), "manager", UserKind.MANAGER, {"PATH": "/bin"})
    assert env == {
        "PATH": "/bin",
        "PYTHONUNBUFFERED": "1",
        "HEADRACE_MANAGER_ID": "manager-1",
        "HEADRACE_MANAGER_SECRETS_KEYS": "[]",
        "HEADRACE_MANAGER_DATABASE_URL": "postgresql://headrace:dbsecret@127.0.0.1:1/headrace",
        "HEADRACE_MANAGER_NATS_URL": "nats://127.0.0.1:2",
        "HEADRACE_MANAGER_NATS_USER": "manager",
        "HEADRACE_MANAGER_NATS_PASSWORD": "bus-manager",
        "HEADRACE_MANAGER_LISTEN_HOST": "127.0.0.1",
        "HEADRACE_MANAGER_LISTEN_PORT": "8080",
        "HEADRACE_MANAGER_FOLDERS_ROOT": "/d/folders",
        "HEADRACE_MANAGER_ADMIN_KEY_FILE": "/d/admin-key",
        "HEADRACE_MANAGER_SECRET_KEY": "ab" * 32,
        "HEADRACE_MANAGER_PUBLIC_PROXY_URL": "http://127.0.0.1:8000",
        "HEADRACE_MANAGER_RESERVED_PORTS": installation().reserved_ports,
        "HEADRACE_MANAGER_REPLICA_NETWORKS": '["127.0.0.1/32"]',
        "HEADRACE_MANAGER_LOG_FORMAT": "json",
    }


def test_no_service_gets_a_port_of_the_stack_itself() -> None:
    there = installation()
    reserved = json.loads(there.reserved_ports)
    assert {there.api_port, there.proxy_port, *there.admin_ports.values(), *there.server_ports} == set(reserved)
    services = {service.name: service.env for service in default_services(there, {})}
    assert services["appproxy"]["HEADRACE_APPPROXY_RESERVED_PORTS"] == there.reserved_ports
    assert AppProxySettings(reserved_ports=reserved).reserved_ports == tuple(reserved)


def test_an_agent_is_told_who_it_is_and_what_is_its_own() -> None:
    env = service_environment(installation(agents=2, simulate_gpus=4, runtime="docker"), "agent-2", UserKind.AGENT, {})
    assert env["HEADRACE_AGENT_ID"] == env["HEADRACE_AGENT_NATS_USER"] == "agent-2"
    assert env["HEADRACE_AGENT_NATS_PASSWORD"] == "bus-agent-2"
    assert env["HEADRACE_AGENT_DATA_DIR"] == "/d/agents/agent-2"
    assert env["HEADRACE_AGENT_FOLDERS_ROOT"] == "/d/folders"
    assert env["HEADRACE_AGENT_SIMULATED_GPUS"] == "4"
    assert env["HEADRACE_AGENT_RUNTIME"] == "docker"
    assert env["HEADRACE_AGENT_PORT_RANGE"] == "21000-21999"
    assert env["HEADRACE_AGENT_STOP_KERNELS_ON_EXIT"] == "true"


def test_proxy_and_autoscaler_are_told_their_addresses() -> None:
    services = by_name(default_services(installation(), {}))
    proxy, autoscaler = services["appproxy"].env, services["autoscaler"].env
    assert proxy["HEADRACE_APPPROXY_LISTEN_PORT"] == "8000"
    assert proxy["HEADRACE_APPPROXY_ID"] == "proxy-1"
    assert proxy["HEADRACE_APPPROXY_DATA_DIR"] == "/d/appproxy"
    assert autoscaler["HEADRACE_AUTOSCALER_REDIS_URL"].startswith("redis://:redissecret@")
    assert proxy["HEADRACE_APPPROXY_REDIS_URL"] == autoscaler["HEADRACE_AUTOSCALER_REDIS_URL"], (
        "budgets outlive the app-proxy"
    )
    assert services["appproxy"].ready_url.endswith(proxy["HEADRACE_APPPROXY_ADMIN_PORT"] + "/readyz")


def test_the_secrets_of_one_service_reach_no_other() -> None:
    services = default_services(installation(agents=2), {})
    secrets = {"dbsecret": {"manager"}, "ab" * 32: {"manager"}, "redissecret": {"autoscaler", "appproxy"}}
    secrets |= {f"bus-{service.name}": {service.name} for service in services}
    for service, (secret, owners) in itertools.product(services, secrets.items()):
        assert (secret in str(service.env)) == (service.name in owners)
        assert secret not in repr(service)
    assert "dbsecret" not in repr(installation())


@pytest.mark.parametrize("kind", list(UserKind))
def test_each_service_knows_every_setting_it_is_given(kind: UserKind) -> None:
    settings = importlib.import_module(f"headrace.{kind}.settings").Settings
    known = {f"HEADRACE_{kind}_{name}".upper() for name in settings.model_fields}
    service = next(s for s in default_services(installation(), {}) if s.argv[-1] == f"headrace.{kind}")
    assert {name for name in service.env if name.startswith("HEADRACE_")} <= known


def test_traffic_stops_first_and_the_manager_last() -> None:
    order = by_name(default_services(installation(), {}))
    assert [name for name, service in order.items() if service.keeps_sockets] == ["appproxy"]
    assert order["appproxy"].stop_tier < order["agent-1"].stop_tier < order["manager"].stop_tier
    assert order["manager"].start_tier < min(s.start_tier for n, s in order.items() if n != "manager")


def test_a_listener_on_all_addresses_is_reached_on_this_machine() -> None:
    there = installation(listen_host="0.0.0.0")
    manager = by_name(default_services(there, {}))["manager"]
    assert manager.env["HEADRACE_MANAGER_LISTEN_HOST"] == "0.0.0.0"
    assert manager.ready_url == "http://127.0.0.1:8080/readyz"
    assert there.proxy_url == "http://127.0.0.1:8000"


def test_every_agent_has_ports_of_its_own_below_those_of_outgoing_connections() -> None:
    services = default_services(installation(agents=MAX_AGENTS), {})
    ranges = sorted(
        tuple(map(int, s.env["HEADRACE_AGENT_PORT_RANGE"].split("-"))) for s in services if s.name.startswith("agent")
    )
    assert len(ranges) == MAX_AGENTS
    assert all(low[1] < high[0] for low, high in itertools.pairwise(ranges))
    assert ranges[0][0] == 20000
    assert ranges[-1][1] < 32768
    assert len({s.port for s in services}) == len(services)


@pytest.mark.parametrize(
    "options", [{"agents": 0}, {"agents": MAX_AGENTS + 1}, {"simulate_gpus": -1}, {"simulate_gpus": 65}]
)
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        UpOptions(data=Path("/d"), **options)  # type: ignore[arg-type]  # the values are numbers


@given(st.integers(1, 10_000))
def test_backoff_grows_and_is_bounded(failures: int) -> None:
    assert 0.1 <= backoff_s(failures) <= backoff_s(failures + 1) <= LONGEST_BACKOFF_S
