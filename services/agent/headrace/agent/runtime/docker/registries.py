"""Allow list of image registries: keeps a tenant from making the engine send requests inside the operator's network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from ipaddress import ip_address

from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.addresses import Address, is_public_address
from headrace.common.contracts.images import HUB, ImageName
from headrace.common.contracts.reasons.kernel import KernelReason

_LOOKUP_S = 5.0


class RegistryAllowList:
    """Allow list of registries: the listed ones, and public ones unless only listed ones are allowed."""

    def __init__(
        self,
        listed: Collection[str],
        *,
        only_listed: bool,
        look_up: Callable[[str], Awaitable[Collection[Address]]] | None = None,
    ) -> None:
        self._listed = frozenset(listed)
        self._only_listed = only_listed
        self._look_up = look_up or addresses_of

    async def check(self, image: ImageName) -> None:
        """Raise StartRefused when the image's registry is not allowed; the text does not say what is at that address."""
        if {image.registry, image.host} & self._listed:
            return
        if self._only_listed:
            allowed = ", ".join(sorted(self._listed)) or "none"
            raise StartRefused(
                KernelReason.IMAGE_REGISTRY_REFUSED,
                f"images are not pulled from {image.registry} here; allowed: {allowed}",
            )
        if image.registry == HUB:
            return
        if any(not is_public_address(address) for address in await self._look_up(image.host)):
            raise StartRefused(
                KernelReason.IMAGE_REGISTRY_REFUSED,
                f"{image.registry} is not a public registry; images are pulled from one inside the network only if the "
                "agent's setting image_registries lists it",
            )


async def addresses_of(host: str) -> Collection[Address]:
    """Resolve a host to its addresses; empty where its name does not resolve here (the engine will report that)."""
    with suppress(ValueError):
        return (ip_address(host),)
    found = []
    with suppress(OSError, TimeoutError, UnicodeError):
        async with asyncio.timeout(_LOOKUP_S):
            for row in await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM):
                with suppress(ValueError):
                    found.append(ip_address(str(row[4][0]).partition("%")[0]))
    return found
