"""Which registries a tenant's image may be pulled from."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

import pytest

from headrace.agent.runtime.docker.registries import RegistryAllowList, addresses_of
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.addresses import Address
from headrace.common.contracts.images import parse_image

KNOWN = {
    "ghcr.io": "140.82.121.34",
    "registry.corp": "10.1.2.3",
    "rebinding.example": "127.0.0.1",
    "v6.example": "fd00::1",
    "compatible.example": "::127.0.0.1",
    "nat64.example": "64:ff9b::a9fe:a9fe",
    "6to4.example": "2002:7f00:1::",
}


async def look_up(host: str) -> Collection[Address]:
    return [ip_address(KNOWN[host])] if host in KNOWN else await addresses_of(host)


def registries(*listed: str, only_listed: bool = False) -> RegistryAllowList:
    return RegistryAllowList(listed, only_listed=only_listed, look_up=look_up)


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v1", "ghcr.io/a/b", "8.8.8.8/a", "registry.corp:5000/a"])
async def test_public_and_listed_registries_are_asked(image: str) -> None:
    await registries("registry.corp:5000").check(parse_image(image))


@pytest.mark.parametrize(
    "image",
    [
        "registry.corp/a",
        "rebinding.example/a",
        "v6.example/a",
        "compatible.example/a",
        "nat64.example/a",
        "6to4.example/a",
        "10.0.0.1:5000/a",
        "localhost:5000/a",
        "169.254.169.254/a",
        "100.64.0.1/a",
    ],
)
async def test_registries_inside_the_network_are_not_asked(image: str) -> None:
    with pytest.raises(StartRefused, match="image_registries"):
        await registries("registry.corp:5000").check(parse_image(image))


async def test_with_a_list_only_the_listed_are_asked() -> None:
    only = registries("ghcr.io", only_listed=True)
    await only.check(parse_image("ghcr.io/a/b"))
    for image in ("vllm/vllm-openai", "8.8.8.8/a", "registry.corp/a"):
        with pytest.raises(StartRefused, match=r"allowed: ghcr\.io"):
            await only.check(parse_image(image))
