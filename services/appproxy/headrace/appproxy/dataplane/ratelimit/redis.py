"""Shared rate limiter: one atomic script per operation in Redis or Valkey, on the server's clock.

`headrace:limits:{<caller>}:usage` is a hash with the numbers of dataplane/ratelimit/policy.py,
`headrace:limits:{<caller>}:open` a sorted set of leases, one per open request, that expire if their proxy crashes. Both
keys expire once they are back at the default.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from headrace.appproxy.dataplane.ratelimit.policy import (
    MAX_DEBT_S,
    MAX_TOKENS,
    MINUTE_S,
    UNLIMITED,
    Quota,
    Reservation,
    Usage,
    Verdict,
    judge,
    verdict_of,
)
from headrace.appproxy.dataplane.ratelimit.unavailable import RateLimitStoreError
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.reasons.proxy import ProxyReason
from headrace.common.runtime.redis_client import redis_client

_FOLDER: Final = Path(__file__).parent
_BATCH: Final = 500
_ANY_TIME_S: Final = 1e18
_PRESENT_DAY: Final = -1
_KEPT_QUOTAS: Final = 4096


class RedisRateLimiter:
    """Rate limiter shared by all workers and app-proxies that use the same Redis. Every call ends within `timeout_s`.

    Make one per process, after forking. `lease_s` is how long the open requests of a crashed proxy count; renew() must
    be called several times within it.
    """

    def __init__(
        self,
        url: str,
        ca_file: Path | None = None,
        *,
        timeout_s: float = 0.25,
        lease_s: float = 30.0,
        connections: int = 32,
    ) -> None:
        self._timeout_s = timeout_s
        self._lease_ms = int(lease_s * 1000)
        self._redis = redis_client(url, ca_file, timeout_s=timeout_s, retries=0, connections=connections)
        # A Script sends EVALSHA, and loads itself if the server does not know it (NOSCRIPT).
        self.reserve_script, self._settle, self._renew = (
            self._redis.register_script((_FOLDER / f"{name}.lua").read_text(encoding="utf-8"))
            for name in ("reserve", "settle", "renew")
        )
        self._me = secrets.token_hex(8)
        self._count = 0
        self._open: dict[str, Reservation] = {}
        self._quotas: dict[int, tuple[RateLimits, Quota]] = {}

    @property
    def open(self) -> int:
        """Number of open reservations of this process."""
        return len(self._open)

    def quota(self, limits: RateLimits) -> Quota:
        """Return the Quota of `limits`, cached by identity: tables hold the same object until it changes."""
        kept = self._quotas.get(id(limits))
        if kept is None:
            if len(self._quotas) >= _KEPT_QUOTAS:
                self._quotas.clear()
            kept = self._quotas[id(limits)] = (limits, Quota(limits))
        return kept[1]

    async def reserve(self, caller: str, limits: RateLimits, tokens: int) -> Verdict:
        """Decide on a request of `caller`, like LocalRateLimiter.reserve(). Raises RateLimitStoreError."""
        quota = self.quota(limits)
        if not quota.bounds_anything:
            return UNLIMITED
        held = Reservation(
            caller, quota, tokens, _ANY_TIME_S, _PRESENT_DAY, self._lease() if quota.needs_settling else ""
        )
        try:
            async with self._in_time():
                answer = await self.reserve_script(
                    keys=_keys(caller),
                    args=[
                        quota.request_interval_s,
                        quota.request_burst_s,
                        quota.in_flight,
                        quota.token_interval_s,
                        held.minute_tokens,
                        quota.tokens_per_day,
                        held.day_tokens,
                        held.lease,
                        self._lease_ms,
                    ],
                )
        except RateLimitStoreError as error:
            error.lease = held if held.lease else None
            raise
        return self._verdict(quota, held, tokens, answer)

    def _verdict(self, quota: Quota, held: Reservation, tokens: int, answer: Any) -> Verdict:
        usage = Usage()
        allowed, now_s, unix_s = bool(answer[0]), float(answer[1]), float(answer[2])
        usage.request_full_s, usage.token_full_s, usage.full_s = float(answer[3]), float(answer[4]), float(answer[5])
        usage.day, usage.day_tokens, usage.in_flight = int(answer[6]), int(answer[7]), int(answer[8])
        if not allowed:
            code, wait_s = judge(quota, usage, tokens, now_s=now_s, unix_s=unix_s)
            # The same arithmetic on the same numbers; the script's result counts.
            return verdict_of(
                quota,
                usage,
                code or ProxyReason.REQUEST_RATE,
                wait_s or 1.0,
                now_s=now_s,
                unix_s=unix_s,
                limiter_mode="shared",
            )
        verdict = verdict_of(quota, usage, None, 0.0, now_s=now_s, unix_s=unix_s, limiter_mode="shared")
        if held.lease:
            held.at_s, held.day = now_s, usage.day
            self._open[held.lease] = held
            verdict.reservation = held
        return verdict

    async def settle(self, held: Reservation, tokens: int | None, *, replayed: bool = False) -> None:
        """Settle a request that used `tokens`: 0 gives everything back, None keeps the estimate. Idempotent once it
        succeeded.

        `replayed`: it may have been done before, so settle only if the lease is still open. Raises RateLimitStoreError;
        replay it later then, with the same tokens.
        """
        self._open.pop(held.lease, None)
        if not held.open:
            return
        more_minute = more_day = 0
        if tokens is not None:
            really = min(max(0, tokens), MAX_TOKENS)
            more_minute = really - held.minute_tokens if held.quota.tokens_per_minute else 0
            more_day = really - held.day_tokens if held.quota.tokens_per_day else 0
        async with self._in_time():
            await self._settle(
                keys=_keys(held.caller),
                args=[
                    held.lease,
                    int(replayed),
                    more_minute,
                    held.at_s,
                    MINUTE_S + MAX_DEBT_S,
                    held.day,
                    more_day,
                    held.quota.token_interval_s,
                ],
            )
        held.open = False

    async def renew(self) -> None:
        """Extend the leases of all open reservations to `lease_s` from now. Raises RateLimitStoreError."""
        by_caller: dict[str, list[str]] = {}
        for lease, held in self._open.items():
            by_caller.setdefault(held.caller, []).append(lease)
        for caller, leases in by_caller.items():
            for some in _batches(leases):
                await self._renew_some(_keys(caller)[1], some)

    async def _renew_some(self, key: str, leases: Collection[str]) -> None:
        still = [lease for lease in leases if lease in self._open]
        if not still:
            return
        async with self._in_time():
            await self._renew(keys=[key], args=[self._lease_ms, *still])
        # Settled while the renewal was in flight, which may have arrived later and reopened them.
        if ended := [lease for lease in still if lease not in self._open]:
            async with self._in_time():
                await self._redis.zrem(key, *ended)

    async def answers(self) -> bool:
        """Return True if Redis answers a ping."""
        try:
            async with self._in_time():
                await self._redis.ping()
        except RateLimitStoreError:
            return False
        return True

    async def close(self) -> None:
        """Close the connections. Open leases expire by themselves."""
        await self._redis.aclose()

    def _lease(self) -> str:
        self._count += 1
        return f"{self._me}-{self._count:x}"

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise RateLimitStoreError(type(error).__name__) from error


def _keys(caller: str) -> list[str]:
    return [f"headrace:limits:{{{caller}}}:usage", f"headrace:limits:{{{caller}}}:open"]


def _batches(leases: Iterable[str]) -> Iterable[list[str]]:
    rest = iter(leases)
    while some := list(islice(rest, _BATCH)):
        yield some
