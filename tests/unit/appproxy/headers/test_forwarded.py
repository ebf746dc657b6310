"""Whose request it is behind proxies of one's own: nobody can give himself another's address, or one that nobody has."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.headers.forwarded import address_block, client_address, is_trusted

OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("chain", "caller"),
    [
        ((), "10.0.0.1"),
        (("192.0.2.7",), "192.0.2.7"),
        (("192.0.2.7, 10.0.0.2",), "192.0.2.7"),
        (("192.0.2.7", "10.0.0.2, 10.0.0.3"), "192.0.2.7"),
        (("192.0.2.1, 192.0.2.7, 10.0.0.2",), "192.0.2.7"),
        (("10.0.0.3,\t10.0.0.2",), "10.0.0.3"),
        (("192.0.2.7, unknown, 10.0.0.2",), "10.0.0.2"),
        (("192.0.2.7, ",), "10.0.0.1"),
        (("192.0.2.7, 10.0.0.256",), "10.0.0.1"),
        (("192.0.2.7, 10.0.0.2\r\nx",), "10.0.0.1"),
        (("\xb2.0.2.7",), "10.0.0.1"),
        (("192.0.2.7:50123",), "192.0.2.7"),
        (("[2001:DB8:0::7]:50123, [fd00::1]",), "2001:db8::7"),
        (("2001:db8::7, fd00::1",), "2001:db8::7"),
        (("2001:db8::7%eth0",), "10.0.0.1"),
        (("192.0.2.7, ::ffff:10.0.0.2",), "192.0.2.7"),
    ],
)
def test_the_first_stranger_from_the_right_is_the_caller(chain: tuple[str, ...], caller: str) -> None:
    assert client_address("10.0.0.1", [value.encode("latin-1") for value in chain], OURS) == caller


def test_whom_is_believed() -> None:
    assert is_trusted("10.9.9.9", OURS)
    assert is_trusted("fd00::1", OURS)
    assert is_trusted("fd00::1%eth0", OURS)
    assert is_trusted("::ffff:10.9.9.9", OURS)
    assert not is_trusted("192.0.2.1", OURS)
    assert not is_trusted("", OURS)
    assert not is_trusted("10.9.9.9", ())


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1::7", "2001:0db8:0000:0001::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:0db8:0000:0001::/64"),
        ("2001:db8:0:2::7", "2001:0db8:0000:0002::/64"),
        ("fe80::7%eth0", "fe80:0000:0000:0000::/64"),
        ("", ""),
    ],
)
def test_what_is_one_callers_own(address: str, block: str) -> None:
    assert address_block(address) == block


@given(st.ip_addresses(v=6).filter(lambda address: not isinstance(address, IPv6Address) or address.ipv4_mapped is None))
def test_an_ipv6_address_lies_in_its_block(address: object) -> None:
    assert address in ip_network(address_block(str(address)))


@given(said=st.binary(max_size=60), seen=st.ip_addresses(v=4).filter(lambda seen: seen not in OURS[0]))
def test_what_a_caller_says_changes_nothing(said: bytes, seen: object) -> None:
    assert client_address("10.0.0.1", [said + b", %b, 10.0.0.2" % str(seen).encode()], OURS) == str(seen)


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_it_is_always_an_address(chain: list[bytes]) -> None:
    ip_address(client_address("10.0.0.1", chain, OURS))
