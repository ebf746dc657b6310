"""Client address from X-Forwarded-For, behind trusted proxies only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
_ENTRY = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5}|([0-9A-Fa-f:.]+)", re.ASCII)
"""An address as fronts write it: bare, or with the caller's port, for which IPv6 has brackets."""


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Return whether this peer's X-Forwarded-* are believed; never where it has no address."""
    found = _address(address.partition("%")[0]) if trusted else None  # without the zone of a link-local one
    return found is not None and _in(found, trusted)


def client_address(peer: str, chain: Iterable[bytes], trusted: Sequence[Network]) -> str:
    """Return the caller's address: of those in the chain the right-most that is not a trusted peer's itself.

    peer: the connection's address, which must be trusted; chain: values of X-Forwarded-For. Each proxy adds on the right whom it
    got the request from, so what stands left of a stranger's address is that stranger's word. What is no address ends the walk,
    and so does the chain: then it is the last that was one, or the peer.
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
    """Return what one caller has for itself: an IPv4 address, or of an IPv6 one its /64, from which a machine takes what it likes."""
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
