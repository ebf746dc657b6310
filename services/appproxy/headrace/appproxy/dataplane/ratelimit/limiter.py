"""Rate limiter: shared while Redis answers, local while it does not; a request waits for it at most `timeout_s`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from headrace.appproxy.dataplane.ratelimit.local import LocalRateLimiter
from headrace.appproxy.dataplane.ratelimit.policy import LimiterMode, Reservation, Verdict
from headrace.appproxy.dataplane.ratelimit.unavailable import RateLimitStoreError
from headrace.common.contracts.messages.routes import RateLimits

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.ratelimit.redis import RedisRateLimiter

log = structlog.get_logger(__name__)

_MAX_UNSETTLED: Final = 10_000
"""Settlements kept while Redis does not answer; beyond, the oldest are lost, and their estimates stand."""


class RateLimiter:
    """Rate limiter of one worker: a request reserves at its begin, and settles at its end.

    `url` empty: without Redis, every limit is enforced locally, divided by `divided_by`.

    When Redis does not answer within `timeout_s`, this and all further calls are decided locally until Redis answers
    again, which is tried every `retry_s` in the background; settlements are replayed then. Use it on one event loop.
    `clock` and `wall` are those of LocalRateLimiter; Redis has its own.
    """

    def __init__(
        self,
        url: str,
        *,
        divided_by: int = 1,
        ca_file: Path | None = None,
        timeout_s: float = 0.25,
        lease_s: float = 30.0,
        retry_s: float = 1.0,
        max_callers: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._local = LocalRateLimiter(divided_by, max_callers=max_callers, clock=clock, wall=wall)
        self._shared = _shared(url, ca_file, timeout_s=timeout_s, lease_s=lease_s) if url else None
        self._renew_s = lease_s / 3
        self._retry_s = retry_s
        self._unavailable = False
        self._lost = asyncio.Event()
        self._unsettled: deque[tuple[Reservation, int | None]] = deque(maxlen=_MAX_UNSETTLED)
        self._keeper: asyncio.Task[None] | None = None

    @property
    def limiter_mode(self) -> LimiterMode:
        """Mode of the next decision: shared or local."""
        return "local" if self._shared is None or self._unavailable else "shared"

    def reserve_now(self, caller: str, limits: RateLimits, tokens: int) -> Verdict | None:
        """Decide on a request of `caller` with an estimate of its tokens, or return None if Redis must be asked: await
        reserve().

        `caller` is an opaque key of what limits count over and caller, as `<service id>:token:<id>`. Pass the verdict's reservation,
        if it has one, to settle_now() or settle() when the request has ended, however it did.
        """
        if self._shared is None or self._unavailable:
            return self._local.reserve(caller, limits, tokens)
        return None

    async def reserve(self, caller: str, limits: RateLimits, tokens: int) -> Verdict:
        """Decide like reserve_now(), over all app-proxies if Redis answers. Never raises; takes `timeout_s` at most.

        Let it finish even if the request has ended: a cancelled call leaves a reservation behind.
        """
        verdict = self.reserve_now(caller, limits, tokens)
        if verdict is not None:
            return verdict
        assert self._shared is not None  # noqa: S101 - else it was decided above
        if self._keeper is None:
            self._keeper = asyncio.get_running_loop().create_task(self._maintain(self._shared), name="caller limits")
        try:
            return await self._shared.reserve(caller, limits, tokens)
        except RateLimitStoreError as error:
            if error.lease is not None:
                self._unsettled.append((error.lease, 0))
            self._became_unavailable(error)
            return self._local.reserve(caller, limits, tokens)

    def settle_now(self, reservation: Reservation | None, tokens: int | None) -> bool:
        """Settle a request, or return False if Redis must be asked: await settle().

        `tokens` used: 0 gives everything back (it never ran), None (unknown) keeps the estimate. Idempotent.
        """
        if reservation is None:
            return True
        if self._shared is None or not reservation.lease:
            self._local.settle(reservation, tokens)
        elif self._unavailable:
            self._unsettled.append((reservation, tokens))
        else:
            return False
        return True

    async def settle(self, reservation: Reservation | None, tokens: int | None) -> None:
        """Settle a request like settle_now(). Idempotent; never raises; takes `timeout_s` at most."""
        if self.settle_now(reservation, tokens):
            return
        assert self._shared is not None and reservation is not None  # noqa: S101, PT018 - else it was settled above
        try:
            await self._shared.settle(reservation, tokens)
        except RateLimitStoreError as error:
            self._unsettled.append((reservation, tokens))
            self._became_unavailable(error)

    async def close(self) -> None:
        """Stop the background task and close the connections."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self._shared is not None:
            await self._shared.close()

    def _became_unavailable(self, error: RateLimitStoreError) -> None:
        if not self._unavailable:
            self._unavailable = True
            self._lost.set()
            log.warning("shared_limits_lost", reason=str(error))

    async def _maintain(self, shared: RedisRateLimiter) -> None:
        """Renew leases while Redis answers, reconnect while it does not."""
        while True:
            try:
                if self._unavailable:
                    await asyncio.sleep(self._retry_s)
                    await self._reconnect(shared)
                else:
                    await self._until_lost(self._renew_s)
                    if not self._unavailable:
                        await shared.renew()
            except RateLimitStoreError as error:
                self._became_unavailable(error)
            except Exception:  # the next pass is the retry
                log.exception("shared_limits_failed")

    async def _reconnect(self, shared: RedisRateLimiter) -> None:
        if not await shared.answers():
            return
        await shared.renew()
        while self._unsettled:
            reservation, tokens = self._unsettled[0]
            await shared.settle(reservation, tokens, replayed=True)
            # While that was awaited, this entry may have been dropped at the limit.
            if self._unsettled and self._unsettled[0][0] is reservation:
                self._unsettled.popleft()
        self._lost.clear()
        self._unavailable = False
        log.info("shared_limits_restored")

    async def _until_lost(self, at_most_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._lost.wait()


def _shared(url: str, ca_file: Path | None, *, timeout_s: float, lease_s: float) -> RedisRateLimiter:
    from headrace.appproxy.dataplane.ratelimit.redis import RedisRateLimiter  # noqa: PLC0415 - the client takes 20 MB, and most have no Redis

    return RedisRateLimiter(url, ca_file, timeout_s=timeout_s, lease_s=lease_s)
