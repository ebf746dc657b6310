"""SSRF guard for machines given by name: resolved addresses are checked after connecting.

The manager checked literal addresses; names are resolved only here.
"""

from __future__ import annotations

from typing import Any

from headrace.common.contracts.addresses import is_forbidden_address, parse_address


def is_forbidden_peer(host: str, transport: Any) -> bool:
    """Return True if `host` is a name that resolved to an address where no replica may be. Nothing may be sent there."""
    if parse_address(host) is not None:
        return False
    peer = transport.get_extra_info("peername") if transport is not None else None
    found = parse_address(str(peer[0])) if peer else None
    return found is None or is_forbidden_address(found)
