"""Image pulls: only when an image is missing, and one pull per image at a time."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from headrace.agent.runtime.docker.container import Image
from headrace.agent.runtime.docker.engine import Engine, EngineError
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.docker.streams import json_lines
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.images import HUB, ImageName, parse_image
from headrace.common.contracts.messages.plans import RegistryLogin
from headrace.common.contracts.reasons.kernel import KernelReason

_HUB_SERVER: Final = "https://index.docker.io/v1/"
"""Name of Docker Hub's registry in a login."""


class Images:
    """Images of the engine."""

    def __init__(self, engine: Engine, registries: RegistryAllowList, *, pull_timeout_s: float) -> None:
        self._engine = engine
        self._registries = registries
        self._pull_timeout_s = pull_timeout_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Lock per image while it is being ensured: tenants choose the names, so locks do not stay."""

    async def ensure(self, name: str, progress: Callable[[str], None], login: RegistryLogin | None = None) -> Image:
        """Return the image's configuration, pulling it if it is missing. Raises StartRefused with the engine's message.

        `login`: at the image's registry, which alone gets it.
        """
        try:
            parsed = parse_image(name)
        except ValueError as error:  # also: what would lead to another call of the engine
            raise StartRefused(KernelReason.IMAGE_REFUSED, str(error)) from error
        async with self._locks.setdefault(name, asyncio.Lock()):
            image = await self._inspect(name)
            if image is not None:
                return image
            await self._registries.check(parsed)
            progress(f"pulling image {name}")
            try:
                async with asyncio.timeout(self._pull_timeout_s):
                    await self._pull(name, progress, _authentication(parsed, login))
            except TimeoutError:
                raise StartRefused(
                    KernelReason.IMAGE_PULL_FAILED, f"image {name} was not pulled within {self._pull_timeout_s:g} s"
                ) from None
            except EngineError as error:
                raise StartRefused(KernelReason.IMAGE_PULL_FAILED, f"image {name} cannot be pulled: {error}") from error
        image = await self._inspect(name)
        if image is None:
            raise StartRefused(KernelReason.IMAGE_PULL_FAILED, f"image {name} was pulled and is gone again")
        return image

    async def _inspect(self, name: str) -> Image | None:
        try:
            return Image.of(await self._engine.call("GET", f"/images/{name}/json"))
        except EngineError as error:
            if error.status == 404:
                return None
            raise StartRefused(KernelReason.IMAGE_PULL_FAILED, f"image {name}: {error}") from error

    async def _pull(self, name: str, progress: Callable[[str], None], headers: Mapping[str, str]) -> None:
        # Without a tag the engine would pull all of them.
        given = name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
        query = {"fromImage": given}
        async with self._engine.stream("POST", "/images/create", query=query, headers=headers) as chunks:
            layers: dict[str, tuple[int, int]] = {}
            async for message in json_lines(chunks):
                if "error" in message:
                    raise EngineError(500, str(message["error"]))
                detail = message.get("progressDetail") or {}
                if message.get("status") == "Downloading" and detail.get("total"):
                    layers[str(message.get("id"))] = (int(detail.get("current") or 0), int(detail["total"]))
                    done, total = (sum(part) for part in zip(*layers.values(), strict=True))
                    progress(f"pulling image {name}: {done / 2**20:.0f} of {total / 2**20:.0f} MiB")


def _authentication(image: ImageName, login: RegistryLogin | None) -> dict[str, str]:
    """Return the header by which the engine logs in at the image's registry; none without a login."""
    if login is None:
        return {}
    server = _HUB_SERVER if image.registry == HUB else image.registry
    fields = {"username": login.user, "password": login.password, "serveraddress": server}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()}
