"""Client address from X-Forwarded-For, behind trusted proxies only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
_ENTRY = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5}|([0-9A-Fa-f:.]+)", re.ASCII)
"""An address as proxies write it: bare, or with a port, for which IPv6 has brackets."""


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Return True if this peer's X-Forwarded-* are trusted; False for a peer without an address."""
    found = _address(address.partition("%")[0]) if trusted else None  # without the zone of a link-local one
    return found is not None and _in(found, trusted)


def client_address(peer: str, chain: Iterable[bytes], trusted: Sequence[Network]) -> str:
    """Return the client address: the right-most one in the chain that is not a trusted proxy's own.

    peer: the connection's address, which must be trusted; chain: values of X-Forwarded-For. Each proxy appends the
    address that it got the request from, so what is left of an untrusted address was written by that client. A value
    that is no address ends the walk, and so does the chain: then it is the last valid one, or the peer.
    """
    believed = peer
    for entry in reversed(b",".join(chain).decode("latin-1").split(",")):
        found = _address(entry.strip(" \t"))
        if found is None:
            break
        believed = str(found)
        if not _in(found, trusted):
            break
    return believed


@lru_cache(maxsize=4096)
def address_block(address: str) -> str:
    """Return the network that one caller owns: an IPv4 address, or the /64 of an IPv6 one, from which a machine takes
    any address.
    """
    found = _address(address.partition("%")[0]) if ":" in address else None
    return f"{found.exploded[:19]}::/64" if isinstance(found, IPv6Address) else address


def _address(text: str) -> IPv4Address | IPv6Address | None:
    match = _ENTRY.fullmatch(text)
    if match is None:
        return None
    try:
        found = ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _in(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
