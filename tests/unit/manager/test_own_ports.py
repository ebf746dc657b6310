"""Services have ports of their own only where nothing of the installation listens, and are told where one could not be opened."""

from __future__ import annotations

import pytest

from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle.status import StatusOfService, with_own_port
from headrace.manager.domain.own_ports import OwnPorts
from headrace.manager.settings import Settings, address_policy

HEALTHY = StatusOfService("healthy", "deployed", Reason(code="all-healthy", text="1 of 1 replicas healthy"), 1)


def test_a_port_of_the_installation_is_refused_and_what_is_allowed_is_said() -> None:
    ports = OwnPorts.parse("10000-10999", [10_222, 8080])
    assert [ports.allowed(port) for port in (None, 0, 10_000, 10_999)] == [None] * 4
    assert ports.allowed(10_222) == "a port of 10000 to 10999 that nothing of the installation uses"
    assert ports.allowed(11_000) == "a port of 10000 to 10999"
    assert ports.allowed(9_999) == "a port of 10000 to 10999"


@pytest.mark.parametrize("bounds", ["2-1", "0-5", "1-70000", "7"])
def test_what_is_no_range_of_ports_is_refused(bounds: str) -> None:
    with pytest.raises(ValueError, match="range"):
        OwnPorts.parse(bounds, [])
    with pytest.raises(ValueError, match="range"):
        address_policy(Settings.model_construct(replica_ports=bounds))


def test_a_service_whose_port_is_not_open_is_not_healthy_and_says_where_and_why() -> None:
    assert with_own_port(HEALTHY, 12_000, {}) == HEALTHY
    told = with_own_port(HEALTHY, 12_000, {ProxyId("proxy-1"): "Address already in use"})
    assert (told.status, told.phase, told.reason.code) == ("degraded", "deployed", "endpoint-port-failed")
    assert told.reason.text == (
        "port 12000 is not open at proxy-1 (Address already in use); path and host name serve; 1 of 1 replicas healthy"
    )
