"""The PROXY protocol, version 2, as a load balancer sends it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"


def header(source: str | None, *, extensions: bytes = b"") -> bytes:
    """Return the header of a connection from `source`; None: the balancer's own."""
    if source is None:
        return SIGNATURE + b"\x20\x00" + len(extensions).to_bytes(2) + extensions
    address = ip_address(source)
    family = b"\x11" if address.version == 4 else b"\x21"
    rest = address.packed + bytes(len(address.packed)) + bytes(4) + extensions
    return SIGNATURE + b"\x21" + family + len(rest).to_bytes(2) + rest
