"""Scraper of the engines' `/metrics` pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from headrace.agent.domain.exposition import filter_lines, read_exposition, with_rates
from headrace.agent.metrics import SCRAPES
from headrace.common.contracts.ids import KernelId
from headrace.common.runtime.clock import Monotonic

_MAX_BYTES = 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_PATIENCE_S = 0.5
"""Longest wait for one slow engine before the others' samples are sent; its values come with the next."""
_AGAIN_S = 30.0
"""Time before an engine without such a page is asked again."""


class _NoPageError(Exception):
    pass


@dataclass(slots=True)
class _Engine:
    values: dict[str, float] = field(default_factory=dict)
    counters: frozenset[str] = frozenset()
    at_s: float = 0.0
    ask_after_s: float = 0.0
    fresh: dict[str, float] = field(default_factory=dict)
    """Values not yet returned."""


class EngineMetrics:
    """Scrapes each engine once per call, and keeps its counters to compute rates.

    An engine without the page is not asked again.
    """

    def __init__(self, session: aiohttp.ClientSession, host: str, *, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self._session = session
        self._host = f"[{host}]" if ":" in host else host
        self._engines: dict[KernelId, _Engine] = {}
        self._asking: dict[KernelId, asyncio.Task[None]] = {}

    async def read(
        self, ports: Mapping[KernelId, int], wanted: Mapping[KernelId, Collection[str]] | None = None
    ) -> dict[KernelId, dict[str, float]]:
        """Return the metrics scraped from the engines at `ports` since the last call.

        `wanted`: the metrics of each kernel that a rule uses; None: all of them.
        """
        for gone in self._engines.keys() - ports.keys():
            del self._engines[gone]
        for kernel_id, port in ports.items():
            engine = self._engines.setdefault(kernel_id, _Engine())
            if kernel_id not in self._asking and self._monotonic() >= engine.ask_after_s:
                self._asking[kernel_id] = asyncio.create_task(
                    self._ask(kernel_id, engine, port, None if wanted is None else wanted.get(kernel_id, ()))
                )
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=_PATIENCE_S)
        found = {}
        for kernel_id in ports:
            engine = self._engines[kernel_id]
            if engine.fresh:
                found[kernel_id], engine.fresh = engine.fresh, {}
        return found

    async def close(self) -> None:
        """Cancel the scrapes in flight."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, kernel_id: KernelId, engine: _Engine, port: int, wanted: Collection[str] | None) -> None:
        outcome = "read"
        try:
            text = await self._fetch(port)
            # A page cut to what is wanted is read in less time than a thread takes to begin.
            values, counters = (
                await asyncio.to_thread(read_exposition, text)
                if wanted is None
                else read_exposition(filter_lines(text, wanted))
            )
        except (_NoPageError, ValueError):
            outcome = "none"
            engine.ask_after_s = self._monotonic() + _AGAIN_S
        except (aiohttp.ClientError, OSError, TimeoutError):
            outcome = "failed"
        else:
            now = self._monotonic()
            engine.fresh = with_rates(values, engine.values, counters & engine.counters, now - engine.at_s)
            engine.values, engine.counters, engine.at_s = values, counters, now
        finally:
            SCRAPES.labels(outcome).inc()
            del self._asking[kernel_id]

    async def _fetch(self, port: int) -> str:
        url = URL(f"http://{self._host}:{port}/metrics")
        async with self._session.get(url, timeout=_TIMEOUT, allow_redirects=False) as response:
            if response.status in {400, 401, 403, 404, 405, 501}:
                raise _NoPageError
            response.raise_for_status()
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise _NoPageError
        return content.decode("utf-8")
