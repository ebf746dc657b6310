"""Validation of replicas' addresses, by machine, network and port.

App-proxies send callers' requests to these addresses, so an agent's word is not enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from headrace.common.contracts.addresses import FORBIDDEN_IN_WORDS, canonical, is_forbidden_address, parse_address
from headrace.common.contracts.messages.reports import KernelReport
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason

Network = IPv4Network | IPv6Network
_MAX_LISTED_ADDRESSES = 4


@dataclass(frozen=True)
class AddressPolicy:
    """Policy of replicas' addresses: the address of their machine, in these networks (empty: any), on these ports.

    Loopback (the app-proxy's own machine), link-local (cloud metadata), multicast and unspecified addresses are
    refused, unless a listed network contains them.
    """

    networks: Sequence[Network] = ()
    first_port: int = 20_000
    last_port: int = 32_767

    def judge(self, kernel: KernelReport, machine: str, problem: str | None = None) -> KernelReport:
        """Return the kernel's report; without address and unhealthy if its address is refused.

        `machine`: the address that its machine reports; `problem`: why that is refused.
        """
        if kernel.host is None and kernel.port is None:
            return kernel
        why = self._refusal(kernel.host or "", kernel.port, machine, problem)
        if why is None:
            return kernel
        reason = kernel.reason if kernel.state != "running" else Reason.of(KernelReason.ADDRESS_NOT_ALLOWED, why)
        return kernel.model_copy(update={"host": None, "port": None, "health": "unhealthy", "reason": reason})

    def refuses(self, host: str) -> str | None:
        """Return why no machine may have this address, whatever else is allowed for it; None if one may."""
        address = parse_address(host)
        if address is None:  # a name, which the app-proxy resolves, and judges by what it finds
            if not self.networks:
                return None
            return f"its machine is at {_short(host)}, a name; allowed (replica_networks): {self.allowed}"
        if any(address in network for network in self.networks):
            return None
        if self.networks or is_forbidden_address(address):
            return f"its machine is at {address}; allowed (replica_networks): {self.allowed}"
        return None

    def _refusal(self, host: str, port: int | None, machine: str, problem: str | None) -> str | None:
        if not host or host != machine:
            return f"its agent says that it is at {_short(host)}; its machine is at {_short(machine)}"
        if problem is not None:
            return problem
        if port is None:  # not open yet
            return None
        if not self.first_port <= port <= self.last_port:
            return (
                f"its agent says that it is on port {port}; allowed (replica_ports): {self.first_port}-{self.last_port}"
            )
        return self.refuses(host)

    @property
    def allowed(self) -> str:
        """The allowed networks, as text."""
        return ", ".join(map(str, self.networks)) or f"all but {FORBIDDEN_IN_WORDS}"


@dataclass(frozen=True)
class ReportedAddress:
    """Address that a machine reports, and those allowed for it; None: its first reported one becomes the allowed one."""

    machine: str
    address: str
    allowed: Sequence[str] | None = None
    problem: str | None = None
    """Why an earlier address was refused."""


@dataclass(frozen=True)
class Claim:
    """First address of a machine. A `shared` one is loopback, which every machine has."""

    machine: str
    address: str
    shared: bool


def claims(said: Sequence[ReportedAddress], places: AddressPolicy) -> list[Claim]:
    """Return the first addresses of machines that have no allowed one yet, where the policy permits, by machine id."""
    return [
        Claim(one.machine, canonical(one.address), _is_loopback(one.address))
        for one in sorted(said, key=lambda one: one.machine)
        if one.allowed is None and one.address and places.refuses(one.address) is None
    ]


def problem(said: ReportedAddress, places: AddressPolicy, taken: Mapping[str, str]) -> str | None:
    """Return why a machine's address is refused; None if it is accepted.

    `taken`: for machines whose first address could not be claimed, the machine that has it.
    """
    if not said.address:
        return "its agent says no address"
    if (why := places.refuses(said.address)) is not None:
        return why
    if (owner := taken.get(said.machine)) is not None:
        return (
            f"it says that it is at {_short(said.address)}, which is the address of agent {owner}; where both are there, "
            f"an operator allows it: headrace agent address {said.machine} …"
        )
    if said.allowed is None or canonical(said.address) in map(canonical, said.allowed):
        return None
    named = ", ".join(said.allowed[:_MAX_LISTED_ADDRESSES]) + (
        " …" if len(said.allowed) > _MAX_LISTED_ADDRESSES else ""
    )
    return (
        f"it says that it is at {_short(said.address)}; allowed: {named}. An operator allows another address: "
        f"headrace agent address {said.machine} …"
    )


def _is_loopback(host: str) -> bool:
    address = parse_address(host)
    return canonical(host) == "localhost" if address is None else address.is_loopback


def _short(text: str) -> str:
    return text[:100] if text else "no address"
