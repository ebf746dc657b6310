"""Networks of sessions: subnets, names of bridges, and the packet filter's rules."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import example, given
from hypothesis import strategies as st

from headrace.agent.domain.networks import (
    MAX_RESOLVERS,
    PacketFilter,
    bridge_name,
    bridge_prefix,
    free_subnets,
    resolvers_in,
    routed_in,
)

POOL = IPv4Network("10.213.0.0/22")


@given(st.sets(st.integers(0, 31)), st.integers(0, 31))
def test_subnets_are_free_and_each_comes_once_round_the_pool(taken: set[int], last: int) -> None:
    subnets = list(POOL.subnets(new_prefix=27))
    found = list(free_subnets(POOL, 27, {subnets[n] for n in taken}, subnets[last]))
    assert sorted(found) == [subnet for n, subnet in enumerate(subnets) if n not in taken]
    if not taken:
        assert found[0] == subnets[(last + 1) % len(subnets)]


def test_a_wide_network_of_somebody_else_takes_all_subnets_that_it_overlaps() -> None:
    found = list(free_subnets(POOL, 27, [IPv4Network("10.213.0.0/23"), IPv4Network("10.213.2.4/30")], None))
    assert found[0] == IPv4Network("10.213.2.32/27")
    assert len(found) == 15
    assert not list(free_subnets(POOL, 27, [IPv4Network("10.0.0.0/8")], None))


@given(st.text(max_size=50), st.uuids())
@example("/data", "a session")
def test_a_bridges_name_fits_linux_and_is_matched_by_its_owners_rules(owner: str, session: object) -> None:
    name = bridge_name(owner, session)
    assert len(name) == 15
    assert name.startswith(bridge_prefix(owner))
    assert len(PacketFilter(owner, (), ()).chain("FWD")) <= 28


def test_link_local_and_private_addresses_are_refused_after_what_is_allowed() -> None:
    rules = PacketFilter("/data", (IPv4Network("10.1.0.0/16"),), (IPv4Address("10.9.9.9"),))
    lines = rules.restore().splitlines()
    out = [line for line in lines if line.startswith(f"-A {rules.chain('FWD')} ")]
    refused = [n for n, line in enumerate(out) if "REJECT" in line]
    assert any("169.254.0.0/16" in out[n] for n in refused)
    assert max(n for n, line in enumerate(out) if "RETURN" in line) < min(refused)
    assert f"-A {rules.chain('FWD')} -d 10.1.0.0/16 -j RETURN" in lines
    assert f"-A {rules.chain('FWD')} -d 10.9.9.9 -p udp --dport 53 -j RETURN" in lines
    host = [line for line in lines if line.startswith(f"-A {rules.chain('IN')} ")]
    assert host[-1].endswith("-j REJECT --reject-with icmp-admin-prohibited")
    assert lines[-1] == "COMMIT"


def test_only_what_passes_a_bridge_of_this_installation_comes_into_its_chains() -> None:
    mine, other = PacketFilter("/data", (), ()), PacketFilter("/other", (), ())
    assert {target for _, rule in mine.jumps() for target in rule if target in mine.chains} == set(mine.chains)
    assert {rule[1] for _, rule in mine.jumps()} == {mine.bridges}
    assert not {mine.bridges, *mine.chains} & {other.bridges, *other.chains}


def test_nothing_from_or_to_a_bridge_passes_over_ipv6() -> None:
    rules = PacketFilter("/data", (IPv4Network("10.1.0.0/16"),), ())
    assert set(rules.ipv6_drops()) == {
        ("INPUT", ("-i", rules.bridges, "-j", "DROP")),
        ("FORWARD", ("-i", rules.bridges, "-j", "DROP")),
        ("FORWARD", ("-o", rules.bridges, "-j", "DROP")),
    }


def test_name_servers_of_the_machine_are_known_but_none_on_loopback() -> None:
    text = "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2 \nnameserver fe80::1\nnameserver\nsearch a\n"
    assert resolvers_in([text, "nameserver 10.0.0.2\nnameserver 8.8.8.8"]) == (
        IPv4Address("10.0.0.2"),
        IPv4Address("8.8.8.8"),
    )
    assert len(resolvers_in([f"nameserver 10.0.0.{n}" for n in range(1, 99)])) == MAX_RESOLVERS


def test_routes_of_the_machine_are_read_but_not_the_default_one() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "br0\t0000D50A\t00000000\t0001\t0\t0\t0\tE0FFFFFF\t0\t0\t0\n"
    )
    assert routed_in(table) == (IPv4Network("10.213.0.0/27"),)
