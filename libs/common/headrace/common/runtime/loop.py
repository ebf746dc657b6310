"""A level-triggered loop: each pass looks at the whole state; a poke only says 'look now'."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from headrace.common.obs.metrics import LAST_PASS_TIMESTAMP, PASS_SECONDS
from headrace.common.runtime.clock import Monotonic

log = structlog.get_logger()
MAX_REST_S = 0.25


class PassDeferred(Exception):  # noqa: N818 - it is no error
    """A pass cannot be made yet, because something that it needs is not there: a bus that is not connected, as at the start."""


class Loop:
    """Reconcile loop: runs `one_pass` after every poke and at least once per `every`, at most once per `pause`.

    With `rest` it pauses that many times the duration of the pass, up to `MAX_REST_S`: so passes take a bounded part
    of the time under many pokes, and each handles more at once. `poked`: the event that a poke sets, if others than the
    loop's owner poke it.

    A pass that raises is logged and counted; the next pass is the retry. One that raises PassDeferred is logged once for
    as long as that is so, without a traceback. A pass longer than `deadline` is cancelled.
    """

    def __init__(
        self,
        name: str,
        one_pass: Callable[[], Awaitable[None]],
        *,
        every: timedelta,
        pause: timedelta = timedelta(milliseconds=10),
        deadline: timedelta = timedelta(seconds=60),
        rest: float = 0.0,
        poked: asyncio.Event | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self.name = name
        self.one_pass = one_pass
        self._every = every
        self._pause = pause
        self._deadline = deadline
        self._rest = rest
        self._poked = poked or asyncio.Event()
        self._monotonic = monotonic
        self._stopping = False
        self.passes = 0
        self._deferred: str | None = None
        """What the last pass waited for."""
        self.last_success: float | None = None
        """Time at the end of the last successful pass, by the loop's clock."""

    @property
    def every_s(self) -> float:
        """Longest time from a pass to the next."""
        return self._every.total_seconds()

    def poke(self) -> None:
        """Request a pass soon. Carries no data; many pokes may lead to one pass."""
        self._poked.set()

    def stop(self) -> None:
        """Let the current pass finish, then end `run()`."""
        self._stopping = True
        self._poked.set()

    async def run(self) -> None:
        """Run passes until stop()."""
        while not self._stopping:
            self._poked.clear()  # first, so that a poke during the pass is not lost
            took = await self._measured_pass()
            if self._stopping:
                return
            # lets pokes gather; bounds the rate of passes
            await asyncio.sleep(max(self._pause.total_seconds(), min(self._rest * took, MAX_REST_S)))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every.total_seconds()):
                    await self._poked.wait()

    async def _measured_pass(self) -> float:
        """Run one pass and return its duration in seconds."""
        started = self._monotonic()
        outcome, deferred = "failed", None
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                await self.one_pass()
            outcome = "done"
            self.last_success = self._monotonic()
            LAST_PASS_TIMESTAMP.labels(self.name).set_to_current_time()
        except PassDeferred as why:
            outcome, deferred = "deferred", str(why)
            if deferred != self._deferred:
                log.info("pass_deferred", loop=self.name, why=deferred)
        except Exception:  # the next pass is the retry
            log.exception("pass_failed", loop=self.name)
        finally:
            self.passes += 1
            self._deferred = deferred
            took = self._monotonic() - started
            PASS_SECONDS.labels(self.name, outcome).observe(took)
        return took
