"""Replica ports that are closed to all but some networks: the rules, their sources, and an agent that cannot set them."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace.agent.domain.port_filter import PortFilter, network
from headrace.agent.domain.ports import PortRange
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.port_filter import port_filter_table
from tests.support.factories.settings import agent_settings
from tests.support.wait import eventually
from tests.support.worlds.agent import AgentWorld
from tests.unit.agent.test_convergence import spec_of

PORTS = PortRange(20_000, 20_999)


def script(*sources: str) -> str:
    return PortFilter("headrace_x", PORTS, [ipaddress.ip_network(source) for source in sources]).script()


def test_the_table_is_replaced_as_a_whole_and_what_is_not_named_is_dropped() -> None:
    lines = [line.strip() for line in script("10.0.1.0/24", "10.0.1.7", "10.0.0.0/24", "fd00::7").splitlines()]
    assert lines[:3] == ["table inet headrace_x", "delete table inet headrace_x", "table inet headrace_x {"]
    to_a_replica = "fib daddr type local tcp dport 20000-20999"
    assert lines[4:9] == [
        "type filter hook prerouting priority mangle; policy accept;",
        'iifname "lo" accept',
        "ct direction reply accept",
        f"{to_a_replica} ip saddr {{ 10.0.0.0/23 }} accept",
        f"{to_a_replica} ip6 saddr {{ fd00::7/128 }} accept",
    ]
    assert lines[9] == f"{to_a_replica} drop"


def test_names_that_none_resolves_let_nobody_in() -> None:
    assert [line for line in script().splitlines() if "saddr" in line] == []
    assert "drop" in script()


def test_tables_of_two_agents_differ_and_are_names_for_nft() -> None:
    one, other = (port_filter_table(Path(f"/var/lib/headrace/{name}")) for name in "ab")
    assert one != other
    assert one.replace("_", "").isalnum()


@pytest.mark.parametrize("source", ["10.0.1.0/24", "10.0.1.7", "fd00::/64", "proxy.example", "proxy-1"])
def test_networks_addresses_and_names_are_taken(tmp_path: Path, source: str) -> None:
    assert agent_settings(tmp_path, replica_ports_from=(source,)).replica_ports_from == (source,)
    assert (network(source) is None) == source.startswith("proxy")


@pytest.mark.parametrize("source", ["", "10.0.1.7/24", "10.0.1.300", "proxy.example/24", "a b", "x } accept; {"])
def test_anything_else_is_refused_by_name(tmp_path: Path, source: str) -> None:
    with pytest.raises(ValidationError, match="allowed: a network"):
        agent_settings(tmp_path, replica_ports_from=(source,))


async def test_nothing_starts_where_the_rules_would_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    world, spec = AgentWorld(tmp_path), spec_of(KernelId(new_uuid()))
    world.runtime.elsewhere = "the engine is not on the agent's machine"
    async with world.running(replica_ports_from=("10.0.1.0/24",)):
        await world.plan(spec)
        await eventually(lambda: (report := world.report(spec.kernel_id)) is not None and report.state == "failed")
        report = world.report(spec.kernel_id)
        assert report is not None
        assert report.reason.text == f"replica ports are open to all: {world.runtime.elsewhere}"


async def test_nothing_starts_while_the_rules_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no nft
    world, spec = AgentWorld(tmp_path), spec_of(KernelId(new_uuid()))
    async with world.running(replica_ports_from=("10.0.1.0/24",)):
        await world.plan(spec)
        await eventually(lambda: (report := world.report(spec.kernel_id)) is not None and report.state == "failed")
        report = world.report(spec.kernel_id)
        assert report is not None
        assert report.reason.code == "isolation-unavailable"
        assert report.reason.text.startswith("replica ports are open to all: nft: No such file or directory; install")
        assert world.runtime.calls == []
