"""Image pulls: only when an image is missing, and one pull per image at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from headrace.agent.runtime.docker.container import Image
from headrace.agent.runtime.docker.engine import Engine, EngineError
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.docker.streams import json_lines
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.images import parse_image
from headrace.common.contracts.reasons.kernel import KernelReason


class Images:
    """Images of the engine."""

    def __init__(self, engine: Engine, registries: RegistryAllowList, *, pull_timeout_s: float) -> None:
        self._engine = engine
        self._registries = registries
        self._pull_timeout_s = pull_timeout_s
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Lock per image while it is being ensured: tenants choose the names, so locks do not stay."""

    async def ensure(self, name: str, progress: Callable[[str], None]) -> Image:
        """Return the image's configuration, pulling it if it is missing. Raises StartRefused with the engine's message."""
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
                    await self._pull(name, progress)
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

    async def _pull(self, name: str, progress: Callable[[str], None]) -> None:
        # Without a tag the engine would pull all of them.
        given = name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"
        async with self._engine.stream("POST", "/images/create", query={"fromImage": given}) as chunks:
            layers: dict[str, tuple[int, int]] = {}
            async for message in json_lines(chunks):
                if "error" in message:
                    raise EngineError(500, str(message["error"]))
                detail = message.get("progressDetail") or {}
                if message.get("status") == "Downloading" and detail.get("total"):
                    layers[str(message.get("id"))] = (int(detail.get("current") or 0), int(detail["total"]))
                    done, total = (sum(part) for part in zip(*layers.values(), strict=True))
                    progress(f"pulling image {name}: {done / 2**20:.0f} of {total / 2**20:.0f} MiB")
