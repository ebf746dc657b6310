"""Reported addresses of replicas: which are believed."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from headrace.common.contracts.ids import KernelId, SessionId, new_uuid
from headrace.common.contracts.messages.reports import KernelReport
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.manager.domain.addresses import AddressPolicy, Claim, ReportedAddress, claims, problem


def kernel(host: str | None, port: int | None) -> KernelReport:
    return KernelReport(
        kernel_id=KernelId(new_uuid()),
        session_id=SessionId(new_uuid()),
        service_id=None,
        state="running",
        health="healthy",
        reason=Reason(code="healthy", text="it answers"),
        host=host,
        port=port,
    )


@pytest.mark.parametrize(
    ("host", "port", "machine", "why"),
    [
        ("10.0.0.8", 19_100, "10.0.0.8", "port 19100; allowed .* 20000-32767"),
        ("10.0.0.8", 0, "10.0.0.8", "port 0"),
        ("10.0.0.8", 70_000, "10.0.0.8", "port 70000"),
        ("127.0.0.1", 20_001, "127.0.0.1", "at 127.0.0.1; allowed .* all but loopback"),
        ("127.9.9.9", 20_001, "127.9.9.9", "all but loopback"),
        ("::1", 20_001, "::1", "all but loopback"),
        ("::ffff:127.0.0.1", 20_001, "::ffff:127.0.0.1", "at 127.0.0.1"),
        ("10.0.0.7", 20_001, "10.0.0.8", "at 10.0.0.7; its machine is at 10.0.0.8"),
        (None, 20_001, "10.0.0.8", "at no address"),
        ("", 20_001, "", "at no address"),
        ("169.254.169.254", 20_001, "169.254.169.254", "all but loopback, link-local"),
        ("0.0.0.0", 20_001, "0.0.0.0", "all but loopback, link-local"),
        (
            "::ffff:169.254.169.254",
            20_001,
            "::ffff:169.254.169.254",
            "at 169.254.169.254; allowed .* all but loopback, link-local",
        ),
        ("fe80::1%eth0", 20_001, "fe80::1%eth0", "all but loopback, link-local"),
    ],
)
def test_an_address_that_is_not_allowed_is_not_handed_on_and_the_reason_is_told(
    host: str | None, port: int, machine: str, why: str
) -> None:
    judged = AddressPolicy().judge(kernel(host, port), machine)
    assert (judged.host, judged.port, judged.health, judged.reason.code) == (
        None,
        None,
        "unhealthy",
        KernelReason.ADDRESS_NOT_ALLOWED,
    )
    assert re.search(why, judged.reason.text)


@pytest.mark.parametrize(
    ("host", "port"), [("10.0.0.7", 20_000), ("gpu-1.lan", 32_767), ("fd00::1", 20_500), ("h", None), (None, None)]
)
def test_the_machines_own_address_on_a_port_for_replicas_is_believed(host: str | None, port: int | None) -> None:
    given = kernel(host, port)
    assert AddressPolicy().judge(given, host or "10.0.0.7") is given


def test_an_operator_names_the_networks_and_ports() -> None:
    places = AddressPolicy((ip_network("10.1.0.0/16"),), 30_000, 30_010)
    good = kernel("10.1.2.3", 30_010)
    assert places.judge(good, "10.1.2.3") is good
    for host, port in (("127.0.0.1", 30_000), ("10.2.0.1", 30_000), ("gpu-1.lan", 30_000), ("10.1.2.3", 20_000)):
        assert places.judge(kernel(host, port), host).reason.code == KernelReason.ADDRESS_NOT_ALLOWED, host


def test_agents_that_share_a_machine_with_the_app_proxies_are_at_its_loopback_where_the_operator_says_so() -> None:
    places = AddressPolicy((ip_network("127.0.0.0/8"),))
    good = kernel("127.0.0.1", 20_001)
    assert places.judge(good, "127.0.0.1") is good
    assert places.judge(kernel("10.0.0.7", 20_001), "10.0.0.7").reason.code == KernelReason.ADDRESS_NOT_ALLOWED


def test_a_machines_first_address_is_claimed_where_one_may_be() -> None:
    places = AddressPolicy((ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8"), ip_network("fd00::/8")))
    said = [
        ReportedAddress("d", "fd00:0::1"),
        ReportedAddress("c", "::ffff:10.0.0.3"),
        ReportedAddress("b", "127.0.0.1"),
        ReportedAddress("a", "192.168.0.1"),
        ReportedAddress("e", ""),
        ReportedAddress("f", "10.0.0.9", ["10.0.0.6"]),
        ReportedAddress("g", "gpu.lan"),
    ]
    assert claims(said, places) == [
        Claim("b", "127.0.0.1", shared=True),
        Claim("c", "10.0.0.3", shared=False),
        Claim("d", "fd00::1", shared=False),
    ]
    assert claims([ReportedAddress("g", "GPU.lan.")], AddressPolicy()) == [Claim("g", "gpu.lan", shared=False)]


@pytest.mark.parametrize(
    ("address", "allowed", "taken", "why"),
    [
        ("10.0.0.7", ["10.0.0.7"], {}, None),
        ("::ffff:10.0.0.7", ["10.0.0.7"], {}, None),
        ("GPU-1.lan.", ["10.0.0.7", "gpu-1.LAN"], {}, None),
        ("10.0.0.7", None, {}, None),
        (
            "10.0.0.8",
            ["10.0.0.7"],
            {},
            r"at 10\.0\.0\.8; allowed: 10\.0\.0\.7\. An operator .*: headrace agent address m …",
        ),
        ("10.0.0.8", [f"10.0.1.{n}" for n in range(9)], {}, r"10\.0\.1\.3 …\. "),
        ("10.0.0.8", None, {"m": "other"}, r"which is the address of agent other; .*: headrace agent address m …"),
        ("", ["10.0.0.7"], {}, "no address"),
        ("127.0.0.1", ["127.0.0.1"], {}, "all but loopback"),
    ],
)
def test_an_address_that_is_not_the_machines_own_is_told_with_what_is_allowed(
    address: str, allowed: list[str] | None, taken: dict[str, str], why: str | None
) -> None:
    found = problem(ReportedAddress("m", address, allowed), AddressPolicy(), taken)
    assert found is None if why is None else re.search(why, found or "")


def test_replicas_of_a_machine_at_an_address_that_is_not_its_own_get_no_requests() -> None:
    judged = AddressPolicy().judge(kernel("10.0.0.8", 20_001), "10.0.0.8", "it says that it is elsewhere")
    assert (judged.host, judged.port, judged.health) == (None, None, "unhealthy")
    assert judged.reason == Reason(code=KernelReason.ADDRESS_NOT_ALLOWED, text="it says that it is elsewhere")
    assert AddressPolicy().judge(kernel(None, None), "10.0.0.8", "it says that it is elsewhere").health == "healthy"
