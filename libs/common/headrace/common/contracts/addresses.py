"""Forbidden addresses of replicas, unless an operator allows them: loopback, link-local, multicast, unspecified.

Behind such an address is the requesting machine itself, or nothing.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from headrace.common.contracts.wording import pattern

Address = IPv4Address | IPv6Address
_FORBIDDEN = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
    )
)
MANAGER_URL = pattern(r"^https?://[^\s/?#@]+$", "http(s)://host:port, without a path")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")
FORBIDDEN_IN_WORDS = "loopback, link-local, multicast and unspecified addresses"


def parse_address(text: str) -> Address | None:
    """Return the IP address that a socket takes `text` for, as IPv4 if it is one (`::ffff:10.0.0.7`); None for a name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def canonical(text: str) -> str:
    """Return the canonical form of an address or a host name, for comparisons."""
    address = parse_address(text)
    return text.lower().rstrip(".") if address is None else str(address)


def is_host_name(text: str) -> bool:
    """Return True for a valid host name."""
    return len(text) <= 253 and _NAME.match(text) is not None and not text.rstrip(".").rpartition(".")[2].isdecimal()


def is_forbidden_address(address: Address) -> bool:
    """Return True if no replica may be at this address, unless an operator allowed a network that contains it."""
    return any(address in network for network in _FORBIDDEN)
