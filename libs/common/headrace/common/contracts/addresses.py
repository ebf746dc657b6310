"""Addresses: those where no replica may be unless an operator allows it, and those that are public.

Forbidden for replicas are loopback, link-local, multicast and unspecified ones: behind such an address is the requesting
machine itself, or nothing.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

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
_UNICAST = IPv6Network("2000::/3")
"""All that is given out of IPv6. What lies beside it is local, reserved, or stands for an IPv4 address (`::127.0.0.1`)."""
_NAT64 = IPv6Network("64:ff9b::/96")
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


def is_public_address(address: Address) -> bool:
    """Return True for an address of the internet; one that stands for an IPv4 address is as public as that one."""
    inner: IPv4Address | None = None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public_address(address.ipv4_mapped)
        if address in _NAT64:
            return is_public_address(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _UNICAST:
            return False
        inner = address.sixtofour or (address.teredo[1] if address.teredo else None)
    return address.is_global and not address.is_multicast and (inner is None or is_public_address(inner))
