"""Header of the PROXY protocol, version 2, by which a load balancer says whose connection it passes on. Pure.

The layout is that of HAProxy's specification (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, section 2.2).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

FIXED_BYTES: Final = 16
"""The part that every header has: signature, version and command, family, and how many bytes follow."""
MAX_REST_BYTES: Final = 1024
"""What follows: addresses, and extensions, of which balancers send some dozens of bytes."""
_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LOCAL, _PROXY = 0x20, 0x21
_NO_ADDRESS, _TCP4, _TCP6 = 0x00, 0x11, 0x21
_ADDRESS_BYTES: Final = {_TCP4: 12, _TCP6: 36}
"""Two addresses and two ports."""


class ProxyHeaderError(Exception):
    """No header, or one that is not allowed; the text says what was found and what is allowed."""


def rest_bytes(fixed: bytes) -> int:
    """Return how many bytes follow the first FIXED_BYTES of a header. Raises ProxyHeaderError."""
    if not fixed.startswith(_SIGNATURE):
        found = "version 1" if fixed.startswith(b"PROXY ") else "none"
        raise ProxyHeaderError(f"found {found}; allowed: a header of the PROXY protocol, version 2 (send-proxy-v2)")
    if fixed[12] not in {_LOCAL, _PROXY}:
        raise ProxyHeaderError(f"version and command: found 0x{fixed[12]:02x}; allowed: 0x20 (LOCAL), 0x21 (PROXY)")
    rest = int.from_bytes(fixed[14:16])
    if rest > MAX_REST_BYTES:
        raise ProxyHeaderError(f"found {rest} bytes after the first {FIXED_BYTES}; allowed: {MAX_REST_BYTES}")
    return rest


def source_address(fixed: bytes, rest: bytes) -> str | None:
    """Return the address of who opened the connection to the load balancer. Raises ProxyHeaderError.

    None: the connection is the balancer's own (a health check), or it does not know.
    """
    family = fixed[13]
    if fixed[12] == _LOCAL or family == _NO_ADDRESS:
        return None
    if family not in _ADDRESS_BYTES:
        raise ProxyHeaderError(f"family: found 0x{family:02x}; allowed: 0x11 (TCP over IPv4), 0x21 (over IPv6), 0x00")
    if len(rest) < _ADDRESS_BYTES[family]:
        raise ProxyHeaderError(f"addresses: found {len(rest)} bytes; allowed: at least {_ADDRESS_BYTES[family]}")
    if family == _TCP4:
        return str(IPv4Address(rest[:4]))
    address = IPv6Address(rest[:16])
    return str(address.ipv4_mapped or address)
