"""Packet filter of replica ports: nftables rules that close them to all but some networks.

The rules come before destinations are rewritten (priority `mangle`, before Docker's DNAT), so that they see the machine's own
ports, whether a container's are published there or a process listens there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from headrace.agent.domain.ports import PortRange
from headrace.common.contracts.addresses import is_host_name

Network = IPv4Network | IPv6Network


def network(text: str) -> Network | None:
    """Return the network that `text` is, an address being one of its own; None for what is none."""
    try:
        return ip_network(text)
    except ValueError:
        return None


def checked_source(text: str) -> str:
    """Return `text` if it is a network, an address or a host name. Raises ValueError."""
    if network(text) is None and ("/" in text or not is_host_name(text)):
        raise ValueError(f"found {text[:100]}; allowed: a network (10.0.1.0/24), an address, or the name of a host")
    return text


@dataclass(frozen=True, slots=True)
class PortFilter:
    """Rules for the replica ports of one agent."""

    table: str
    ports: PortRange
    allowed: Collection[Network]

    def script(self) -> str:
        """Return the input of nft that replaces the table as a whole, so that no packet passes between two of its rules."""
        accepted = "".join(
            f"    {self._to_a_replica} {family} saddr {{ {', '.join(networks)} }} accept\n"
            for family, networks in (("ip", self._of(4)), ("ip6", self._of(6)))
            if networks
        )
        return (
            f"table inet {self.table}\n"
            f"delete table inet {self.table}\n"
            f"table inet {self.table} {{\n"
            "  chain replica_ports {\n"
            "    type filter hook prerouting priority mangle; policy accept;\n"
            '    iifname "lo" accept\n'  # the machine itself: health checks, an app-proxy on the same machine
            "    ct direction reply accept\n"  # answers to connections that this machine opened from such a port
            f"{accepted}"
            f"    {self._to_a_replica} drop\n"
            "  }\n"
            "}\n"
        )

    @property
    def _to_a_replica(self) -> str:
        return f"fib daddr type local tcp dport {self.ports.first}-{self.ports.last}"

    def _of(self, version: int) -> list[str]:
        networks: Iterable[Network] = (one for one in self.allowed if one.version == version)
        return [str(one) for one in collapse_addresses(networks)]  # type: ignore[type-var]  # one version
