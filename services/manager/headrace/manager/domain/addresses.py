"""Which addresses of replicas the manager believes: what it hands to app-proxies is where they send requests of callers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from headrace.common.contracts.messages.reports import KernelReport
from headrace.common.contracts.places import NEVER_IN_WORDS, is_nowhere, read_address
from headrace.common.contracts.reasons import Reason

Network = IPv4Network | IPv6Network
NOT_ALLOWED = "address-not-allowed"


@dataclass(frozen=True)
class Places:
    """Where replicas may be: at the address that their machine says it has, in these networks (none: any), on these ports.

    Loopback (the app-proxy's own machine), link-local (where clouds keep their secrets), multicast and unspecified
    addresses never are, unless a network that is named holds them.
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
        address = read_address(host)
        if address is None:  # a name, which the app-proxy resolves, and judges by what it finds
            if not self.networks:
                return None
            return f"its machine is at {_short(host)}, a name; allowed (replica_networks): {self._named()}"
        if any(address in network for network in self.networks):
            return None
        if self.networks or is_nowhere(address):
            return f"its machine is at {address}; allowed (replica_networks): {self._named()}"
        return None

    def _named(self) -> str:
        return ", ".join(map(str, self.networks)) or f"all but {NEVER_IN_WORDS}"


def _short(text: str) -> str:
    return text[:100] if text else "no address"
