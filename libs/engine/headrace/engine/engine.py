"""Simulation of an inference engine: loading, slots, token rate and faults around one request. Independent of HTTP."""

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from headrace.engine.metrics import Metrics
from headrace.engine.problems import SimulatedFailure, StillLoading
from headrace.engine.request_log import Entry, RequestLog
from headrace.engine.settings import NEVER, Behaviour, Settings
from headrace.engine.slots import Slots

log = logging.getLogger("headrace.engine")
_MIB = 1 << 20
_CRASH_DELAY_S = 0.05


class StreamCut(Exception):  # noqa: N818  # a simulated fault, not an error
    """Simulated interruption of this stream's connection."""


def _exit(code: int) -> NoReturn:
    """Exit like a crash: no cleanup, open connections are reset."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Engine:
    """Simulated engine. `crash` is called with the exit code for a simulated crash."""

    def __init__(self, settings: Settings, *, crash: Callable[[int], None] = _exit) -> None:
        self.settings = settings
        self.behaviour = settings.behaviour
        self.request_log = RequestLog(wall=time.time, clock=time.monotonic)
        self.metrics = Metrics(settings.models[0], settings.max_model_len)
        self.slots = Slots(lambda: (self.behaviour.max_running, self.behaviour.max_waiting))
        self._crash = crash
        self._born = time.monotonic()
        self._rng = random.Random(settings.seed)  # noqa: S311  # token rate and failures, nothing secret
        self._changed = asyncio.Event()
        self._ballast = bytearray()
        self._until_crash = NEVER
        self._behave(settings.behaviour, start_countdown=True)

    def change(self, values: Mapping[str, object]) -> None:
        """Apply new settings. Raises SettingError naming the first invalid one; then nothing is changed.

        Hanging requests that need not hang any more go on at once.
        """
        self._behave(self.behaviour.changed(values), start_countdown="crash_after_requests" in values)

    def _behave(self, behaviour: Behaviour, *, start_countdown: bool) -> None:
        if behaviour.ballast_mib * _MIB != len(self._ballast):
            # Written, not only reserved: untouched pages would not count as used memory.
            self._ballast = bytearray(b"\x5a") * (behaviour.ballast_mib * _MIB)
        self.behaviour = behaviour
        self.slots.wake()
        self._changed.set()
        self._changed = asyncio.Event()
        if start_countdown:
            self._until_crash = behaviour.crash_after_requests
        if start_countdown and self._until_crash == 0:
            # A moment later, so that the request for it gets a response.
            asyncio.get_running_loop().call_later(_CRASH_DELAY_S, self._crash_now)

    @property
    def loaded(self) -> bool:
        """True once the load time is over."""
        return time.monotonic() - self._born >= self.behaviour.load_s

    @property
    def kv_cache_usage(self) -> float:
        """Part of the simulated KV cache in use by running requests, 0 to 1."""
        return min(1.0, self.request_log.held_tokens / self.settings.kv_cache_tokens)

    async def while_set(self, name: str) -> None:
        """Wait until the boolean setting `name` is off."""
        while getattr(self.behaviour, name):
            await self._changed.wait()

    @asynccontextmanager
    async def admitted(
        self, path: str, *, model: str, stream: bool, prompt_tokens: int, headers: Mapping[str, str]
    ) -> AsyncIterator["Work"]:
        """Run a request: record it, queue it for a slot, apply the configured faults.

        Raises StillLoading, SimulatedFailure or QueueFull before the block runs. Cancellation at any moment frees the
        slot or the place in the queue at once.
        """
        if not self.loaded:
            raise StillLoading("the model is still loading; try again later")
        self._count_down_to_crash()
        with self.request_log.entry(path, model=model, stream=stream, headers=headers) as entry:
            entry.prompt_tokens = prompt_tokens
            if self._rng.random() < self.behaviour.failure_rate:
                raise SimulatedFailure("the settings ask for a failure", status=self.behaviour.failure_status)
            async with self.slots.slot():
                entry.state = "running"
                await self.while_set("hang")
                work = Work(self, entry)
                try:
                    yield work
                except (asyncio.CancelledError, ConnectionError):
                    self.metrics.success["abort"].add()  # vLLM counts them here too
                    raise

    def varied(self, seconds: float) -> float:
        """Return `seconds` with the configured jitter."""
        return seconds * (1 + self.behaviour.jitter * self._rng.uniform(-1, 1))

    def _count_down_to_crash(self) -> None:
        if self._until_crash > 0:
            self._until_crash -= 1
            if self._until_crash == 0:
                self._crash_now()

    def _crash_now(self) -> None:
        log.error("simulated crash with exit code %d", self.behaviour.crash_exit_code)
        self._crash(self.behaviour.crash_exit_code)


class Work:
    """Request that holds a slot: paces its tokens and measures them."""

    def __init__(self, engine: Engine, entry: Entry) -> None:
        self._engine = engine
        self._entry = entry
        self._scheduled = time.monotonic()
        self._first = self._last = self._scheduled

    async def prefill(self) -> None:
        """Wait for the configured time to first token."""
        engine = self._engine
        await asyncio.sleep(engine.varied(engine.behaviour.time_to_first_token_s))
        self._first = self._last = time.monotonic()
        engine.metrics.prompt_tokens.add(self._entry.prompt_tokens)
        engine.metrics.first_token.observe(self._first - self._entry.began)

    async def tokens(self, tokens: Sequence[str]) -> AsyncIterator[str]:
        """Yield `tokens` at the configured rate. Raises StreamCut for a simulated interruption."""
        engine = self._engine
        await self.prefill()
        due = self._first
        for index, token in enumerate(tokens):
            if index:
                # Against a clock of its own, so that the time a write takes does not add up.
                due += engine.varied(engine.behaviour.time_per_token_s)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                now = time.monotonic()
                engine.metrics.between_tokens.observe(now - self._last)
                self._last = now
            if self._entry.stream and index == engine.behaviour.cut_after_tokens:
                raise StreamCut
            self._entry.completion_tokens += 1
            engine.metrics.generation_tokens.add()
            yield token

    def finished(self, reason: str, max_tokens: int | None = None) -> None:
        """Count the request as fully answered."""
        metrics, entry = self._engine.metrics, self._entry
        now = time.monotonic()
        metrics.success[reason].add()
        metrics.latency.observe(now - entry.began)
        metrics.queue.observe(self._scheduled - entry.began)
        metrics.inference.observe(now - self._scheduled)
        metrics.prefill.observe(self._first - self._scheduled)
        metrics.decode.observe(self._last - self._first)
        metrics.request_prompt_tokens.observe(entry.prompt_tokens)
        metrics.request_generation_tokens.observe(entry.completion_tokens)
        if entry.completion_tokens > 1:
            metrics.request_per_token.observe((self._last - self._first) / (entry.completion_tokens - 1))
        if max_tokens is not None:
            metrics.request_max_tokens.observe(max_tokens)
