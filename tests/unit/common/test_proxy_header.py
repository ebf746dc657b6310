"""Headers of the PROXY protocol, version 2: whose connection they name, and what is none."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.web.proxy_header import (
    FIXED_BYTES,
    MAX_REST_BYTES,
    ProxyHeaderError,
    rest_bytes,
    source_address,
)
from tests.support.proxy_protocol import SIGNATURE, header


def named(sent: bytes) -> str | None:
    """Return whom a whole header names."""
    fixed = sent[:FIXED_BYTES]
    rest = sent[FIXED_BYTES:]
    assert rest_bytes(fixed) == len(rest)
    return source_address(fixed, rest)


@given(st.ip_addresses(), st.binary(max_size=200))
def test_the_source_of_either_family_is_named_whatever_extensions_follow(
    source: IPv4Address | IPv6Address, extensions: bytes
) -> None:
    expected = getattr(source, "ipv4_mapped", None) or source
    assert named(header(str(source), extensions=extensions)) == str(expected)


def test_a_balancer_s_own_connection_names_nobody() -> None:
    assert named(header(None)) is None  # LOCAL: a health check
    assert named(SIGNATURE + b"\x20\x11" + (12).to_bytes(2) + bytes(12)) is None
    assert named(SIGNATURE + b"\x21\x00\x00\x00") is None  # it does not know


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"PROXY TCP4 1.2.3.4 ", "found version 1; allowed"),
        (b"GET / HTTP/1.1\r\n", "found none; allowed: a header of the PROXY protocol, version 2"),
        (b"\x16\x03\x01" + bytes(13), "found none; allowed"),
        (SIGNATURE + b"\x11\x11\x00\x0c", "version and command: found 0x11"),
        (SIGNATURE + b"\x22\x11\x00\x0c", "version and command: found 0x22"),
        (
            SIGNATURE + b"\x21\x11" + (MAX_REST_BYTES + 1).to_bytes(2),
            "found 1025 bytes after the first 16; allowed: 1024",
        ),
        (SIGNATURE + b"\x21\x11\xff\xff", "found 65535 bytes"),
        (SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12), "family: found 0x12"),  # UDP
        (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), "family: found 0x31"),  # a Unix socket
        (SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11), "addresses: found 11 bytes; allowed: at least 12"),
        (SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12), "addresses: found 12 bytes; allowed: at least 36"),
    ],
)
def test_what_is_no_header_or_not_allowed_is_refused_with_what_was_found(sent: bytes, said: str) -> None:
    with pytest.raises(ProxyHeaderError) as refused:
        named(sent)
    assert said in str(refused.value)


@given(st.binary(min_size=FIXED_BYTES, max_size=FIXED_BYTES), st.binary(max_size=64))
def test_any_bytes_are_a_header_or_refused(fixed: bytes, rest: bytes) -> None:
    for begin in (fixed, SIGNATURE + fixed[len(SIGNATURE) :]):
        try:
            assert 0 <= rest_bytes(begin) <= MAX_REST_BYTES
            source_address(begin, rest)
        except ProxyHeaderError:
            pass
