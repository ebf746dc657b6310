"""What app-proxies say of their admin pages does not make Prometheus call its own machine."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.domain.records.targets import AgentTarget
from headrace.manager.domain.scrape_targets import agent_targets, proxy_targets


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.0.0.7:8001", ["10.0.0.7:8001"]),
        ("proxy-1.example.com:8001", ["proxy-1.example.com:8001"]),
        ("[2001:db8::1]:8001", ["[2001:db8::1]:8001"]),
        ("127.0.0.1:8001", []),
        ("169.254.169.254:80", []),
        ("[::1]:8001", []),
        ("10.0.0.7", []),
        ("10.0.0.7:0", []),
        ("10.0.0.7:99999", []),
        ("user@10.0.0.7:8001/x?y", ["10.0.0.7:8001"]),
        ("a b:1", []),
        ("[x:1", []),
        ("", []),
    ],
)
def test_only_an_address_elsewhere_is_a_target(address: str, found: list[str]) -> None:
    assert [target.address for target in proxy_targets({"proxy-1": address}, AddressPolicy())] == found


def test_loopback_is_one_where_replicas_may_be_there() -> None:
    here = AddressPolicy(networks=(ip_network("127.0.0.1/32"),))
    (target,) = proxy_targets({"proxy-1": "127.0.0.1:8001"}, here)
    assert target == ("127.0.0.1:8001", {"job": "headrace-appproxy", "instance": "proxy-1"})


def test_agents_are_where_their_replicas_are() -> None:
    (target,) = agent_targets([AgentTarget("gpu-1", "fd00::1", 8091)])
    assert target == ("[fd00::1]:8091", {"job": "headrace-agent", "instance": "gpu-1"})
