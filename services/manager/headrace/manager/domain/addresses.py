"""Which addresses of replicas the manager believes: what it hands to app-proxies is where they send requests of callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from headrace.common.contracts.messages.reports import KernelReport
from headrace.common.contracts.reasons import Reason

Network = IPv4Network | IPv6Network
NOT_ALLOWED = "address-not-allowed"
_NEVER = tuple(
    ip_network(text) for text in ("0.0.0.0/32", "169.254.0.0/16", "224.0.0.0/3", "::/128", "fe80::/10", "ff00::/8")
)


@dataclass(frozen=True)
class Places:
    """Where replicas may be: at the address that their machine says it has, in these networks (none: any), on these ports.

    Link-local (where clouds keep their secrets), multicast and unspecified addresses never are, unless a network that is
    named holds them.
    """

    networks: Sequence[Network] = ()
    first_port: int = 20_000
    last_port: int = 32_767

    def judge(self, kernel: KernelReport, machine: str) -> KernelReport:
        """Return the kernel as it is believed: without an address, and unhealthy, if that is none where it may be."""
        if kernel.host is None and kernel.port is None:
            return kernel
        why = self._refusal(kernel.host or "", kernel.port, machine)
        if why is None:
            return kernel
        reason = kernel.reason if kernel.state != "running" else Reason(code=NOT_ALLOWED, text=why)
        return kernel.model_copy(update={"host": None, "port": None, "health": "unhealthy", "reason": reason})

    def _refusal(self, host: str, port: int | None, machine: str) -> str | None:
        if not host or host != machine:
            return f"its agent says that it is at {_short(host)}; its machine is at {_short(machine)}"
        if port is None:  # not open yet
            return None
        if not self.first_port <= port <= self.last_port:
            return (
                f"its agent says that it is on port {port}; allowed (replica_ports): {self.first_port}-{self.last_port}"
            )
        try:
            address = _plain(ip_address(host))
        except ValueError:  # a name, which the app-proxy resolves
            if not self.networks:
                return None
            return f"its machine is at {_short(host)}, a name; allowed (replica_networks): {self._named()}"
        if any(address in network for network in self.networks):
            return None
        if self.networks or any(address in network for network in _NEVER):
            return f"its machine is at {address}; allowed (replica_networks): {self._named()}"
        return None

    def _named(self) -> str:
        return ", ".join(map(str, self.networks)) or "all but link-local, multicast and unspecified addresses"


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one (`::ffff:169.254.169.254`) is to a socket."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _short(text: str) -> str:
    return text[:100] if text else "no address"
