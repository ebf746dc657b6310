"""Addresses of NATS servers, as settings have them."""

from __future__ import annotations

import pytest

from headrace.common.bus.connect import Login
from headrace.common.runtime.nats_urls import MAX_SERVERS, server_urls


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("nats://a:4222", ("nats://a:4222",)),
        ("a:4222", ("nats://a:4222",)),
        ("tls://a:4222, tls://b:4222,tls://[::1]:4222", ("tls://a:4222", "tls://b:4222", "tls://[::1]:4222")),
    ],
)
def test_one_address_or_those_of_a_cluster(text: str, urls: tuple[str, ...]) -> None:
    assert server_urls(text) == urls


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an address"),
        ("nats://a:4222,", "not an address"),
        ("http://a:4222", "not an address"),
        ("nats://:4222", "not an address"),
        ("nats://a:0", "not an address"),
        ("nats://a:99999", "not an address"),
        ("nats://user:se/cret@a:4222", "not an address"),
        ("nats://user:secret@a:4222", "not an address"),
        ("nats://a:4222,tls://b:4222", "different schemes"),
        (",".join(f"nats://n{n}:4222" for n in range(MAX_SERVERS + 1)), "17 addresses; allowed: 16"),
    ],
)
def test_what_is_no_address_is_refused_without_being_quoted(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        server_urls(text)
    assert "cret" not in str(refused.value)


def test_a_login_is_encrypted_if_its_addresses_are() -> None:
    assert Login("tls://a:4222,tls://b:4222", "manager", "p", "m").tls
    assert not Login("a:4222,b:4222", "manager", "p", "m").tls
