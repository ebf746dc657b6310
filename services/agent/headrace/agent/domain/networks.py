"""Bridge network of a session: choice of its subnet, name of its bridge, and the packet filter for all bridges.

Docker itself drops traffic between bridges. It lets through traffic to the machine (its own services, and the ports
that other containers publish there), to private and to link-local addresses: the rules drop that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

PRIVATE = tuple(
    IPv4Network(text) for text in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
)
"""RFC 1918, RFC 6598 and RFC 3927: networks of the data stores, of other machines and of a cloud's metadata service."""
MAX_RESOLVERS = 8
_FILTER_OUT = "FWD"
_FILTER_INTO = "TO"
_FILTER_HOST = "IN"


def bridge_prefix(owner: str) -> str:
    """Return the common prefix of the names of all bridges of the installation `owner`; the rules match bridges by it."""
    return f"hr{hashlib.sha256(owner.encode()).hexdigest()[:4]}-"


def bridge_name(owner: str, session: object) -> str:
    """Return the name of a session's bridge, within the 15 characters that Linux allows."""
    return bridge_prefix(owner) + hashlib.sha256(str(session).encode()).hexdigest()[:8]


def free_subnets(
    pool: IPv4Network, prefix: int, taken: Collection[IPv4Network], after: IPv4Network | None
) -> Iterator[IPv4Network]:
    """Yield the subnets of `pool` that overlap none in `taken`, round robin from the one after `after`.

    Round robin leaves the addresses of an ended session unused for long.
    """
    size = 1 << (32 - prefix)
    count = pool.num_addresses // size
    first = int(pool.network_address)
    start = 0 if after is None else (int(after.network_address) - first) // size + 1
    for offset in range(count):
        found = IPv4Network((first + (start + offset) % count * size, prefix))
        if not any(found.overlaps(other) for other in taken):
            yield found


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """Packet filter (iptables rules) for the containers of one installation."""

    owner: str
    allowed: tuple[IPv4Network, ...]
    """Private networks that containers may connect to all the same."""
    resolvers: tuple[IPv4Address, ...]
    """Name servers of the machine: port 53 there stays open."""

    @property
    def bridges(self) -> str:
        """Interface pattern of all bridges of the installation, as iptables writes it."""
        return bridge_prefix(self.owner) + "+"

    def chain(self, kind: str) -> str:
        """Return the name of this installation's chain of this kind."""
        return f"HEADRACE-{bridge_prefix(self.owner)[2:6].upper()}-{kind}"

    @property
    def chains(self) -> tuple[str, ...]:
        """Names of all chains of this installation."""
        return tuple(self.chain(kind) for kind in (_FILTER_OUT, _FILTER_INTO, _FILTER_HOST))

    def jumps(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return (system chain, rule) of the rules that jump into this installation's chains."""
        return (
            ("DOCKER-USER", ("-i", self.bridges, "-j", self.chain(_FILTER_OUT))),
            ("DOCKER-USER", ("-o", self.bridges, "-j", self.chain(_FILTER_INTO))),
            ("INPUT", ("-i", self.bridges, "-j", self.chain(_FILTER_HOST))),
        )

    def ipv6_drops(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Return (system chain, rule) of the ip6tables rules that drop all IPv6 on the bridges.

        The networks have no IPv6, but the kernel gives each bridge a link-local address, and not every engine disables
        IPv6 in containers: they would reach the machine's services there. Neither chain is needed by the engine.
        """
        return (
            ("INPUT", ("-i", self.bridges, "-j", "DROP")),
            ("FORWARD", ("-i", self.bridges, "-j", "DROP")),
            ("FORWARD", ("-o", self.bridges, "-j", "DROP")),
        )

    def restore(self) -> str:
        """Return the input of `iptables-restore --noflush` that replaces the content of this installation's chains."""
        out, into, host = self.chains
        lines = ["*filter", *(f":{chain} - [0:0]" for chain in self.chains)]
        # From a container through the machine: answers, its own bridge (Docker drops other ones), what is allowed.
        lines += [
            f"-A {out} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
            f"-A {out} -o {self.bridges} -j RETURN",
        ]
        lines += [f"-A {out} {rule} -j RETURN" for rule in self._exceptions()]
        lines += [f"-A {out} -d {network} -j REJECT --reject-with icmp-admin-prohibited" for network in PRIVATE]
        # To a container from elsewhere: only by the port that it publishes, never to its own address.
        lines += [
            f"-A {into} -i {self.bridges} -j RETURN",
            f"-A {into} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j RETURN",
            f"-A {into} -j DROP",
        ]
        # From a container to the machine: its services, and the ports that other containers publish on it.
        lines += [f"-A {host} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
        lines += [f"-A {host} {rule} -j RETURN" for rule in self._exceptions()]
        lines += [f"-A {host} -j REJECT --reject-with icmp-admin-prohibited", "COMMIT", ""]
        return "\n".join(lines)

    def _exceptions(self) -> Iterator[str]:
        yield from (f"-d {network}" for network in self.allowed)
        for resolver in self.resolvers[:MAX_RESOLVERS]:
            yield f"-d {resolver} -p udp --dport 53"
            yield f"-d {resolver} -p tcp --dport 53"


def resolvers_in(texts: Sequence[str]) -> tuple[IPv4Address, ...]:
    """Return the IPv4 name servers of these resolv.conf texts, except those on loopback."""
    found: dict[IPv4Address, None] = {}
    for line in (line for text in texts for line in text.splitlines()):
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                address = IPv4Address(words[1])
            except ValueError:
                continue
            if not address.is_loopback:
                found[address] = None
    return tuple(found)[:MAX_RESOLVERS]


def routed_in(table: str) -> tuple[IPv4Network, ...]:
    """Return the networks in a machine's routing table (text of /proc/net/route), without the default route."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[7] != "00000000":
            address, mask = (int.from_bytes(bytes.fromhex(fields[n]), "little") for n in (1, 7))
            found.append(IPv4Network((address, mask.bit_count())))
    return tuple(found)
