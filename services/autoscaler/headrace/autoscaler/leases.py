"""Leases of services in Redis: which autoscaler evaluates a service's rules, renewed at each tick.

`headrace:{<service id>}:lease` holds a random value of the process that has it, and expires. Losing it in the middle of
an evaluation does no harm: the manager compares the wanted number before it changes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.asyncio import Redis

from headrace.autoscaler.windows import chunks, key
from headrace.common.contracts.ids import ServiceId
from headrace.common.runtime.clock import Monotonic

# Answers Redis' time (seconds, microseconds), then for each key: 1 held before and renewed, 2 newly taken, 0 another's.
_CLAIM: Final = """
local answer = redis.call('TIME')
for i, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder == ARGV[1] then
    redis.call('PEXPIRE', key, ARGV[2])
    answer[i + 2] = 1
  elseif not holder and redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[2]) then
    answer[i + 2] = 2
  else
    answer[i + 2] = 0
  end
end
return answer
"""
_RELEASE: Final = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return #KEYS
"""


class Leases:
    """Leases held by this process. Methods raise RedisError when Redis fails."""

    def __init__(self, redis: Redis, *, length: timedelta, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._length = length
        self._me = secrets.token_hex(16)
        self._claim = redis.register_script(_CLAIM)
        self._release = redis.register_script(_RELEASE)
        self._until: dict[ServiceId, float] = {}

    async def claim(self, services: Collection[ServiceId]) -> tuple[datetime, dict[ServiceId, bool]]:
        """Take or renew the leases of `services`. Return Redis' time and the leases held, True for those newly taken."""
        asked_at = self._monotonic()
        held: dict[ServiceId, bool] = {}
        seconds, microseconds = 0, 0
        length_ms = int(self._length.total_seconds() * 1000)
        for some in [*chunks(services)] or [[]]:
            answer = await self._claim(keys=[key(service, "lease") for service in some], args=[self._me, length_ms])
            seconds, microseconds, *states = (int(number) for number in answer)
            held |= {service: state == 2 for service, state in zip(some, states, strict=True) if state}
        # Counted from before the question, less a margin: here a lease ends sooner than in Redis.
        self._until = dict.fromkeys(held, asked_at + 0.8 * self._length.total_seconds())
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds), held

    def holds(self, service: ServiceId) -> bool:
        """Return whether this process still holds the lease; errs towards False near its end."""
        return self._monotonic() < self._until.get(service, 0.0)

    def last_claimed(self) -> Collection[ServiceId]:
        """Return the services whose leases were held at the last claim that succeeded."""
        return self._until.keys()

    async def release(self) -> None:
        """Release all leases, so that another autoscaler takes over at once."""
        services, self._until = list(self._until), {}
        for some in chunks(services):
            await self._release(keys=[key(service, "lease") for service in some], args=[self._me])
