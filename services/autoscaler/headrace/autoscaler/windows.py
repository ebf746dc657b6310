"""Time windows in Redis.

Layout (keys of a service share a hash tag, so that a Redis Cluster keeps them together):

    headrace:{<service id>}:samples    stream    one entry per flush of one autoscaler that had news of the service; its
                                                 field `d` is a JSON list of [origin, owner, reporter, {metric: [total, count]}]
                                                 (domain/window.py). The entry's id is the time: Redis' clock is the only one
                                                 that counts, so clocks of agents, proxies and autoscalers need not agree.
    headrace:{<service id>}:state      hash      records.py
    headrace:{<service id>}:decisions  list      records.py
    headrace:{<service id>}:lease      string    leases.py

Bounds: a stream keeps about STREAM_ENTRIES entries and expires a minute after its last one left the window; it holds only
metrics that a rule of the service names. Writing is one script per BATCH services and flush, whatever the number of samples: a command
and a reply for each of thousands of streams, several times a second, would cost most of what an autoscaler does. Reading is one
XREAD per BATCH services, from where the last read ended.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic_core import to_json
from redis.asyncio import Redis

from headrace.autoscaler.domain.window import Origin, Reading, Window
from headrace.common.contracts.ids import ServiceId

STREAM_ENTRIES: Final = 256
BATCH: Final = 500
# Appends an entry to each of the streams. ARGV: entries that a stream keeps, milliseconds until it expires, the entries.
# Answers what was refused, as position and reason in turn: one stream that is none costs itself.
_APPEND: Final = """
local refused = {}
for i, key in ipairs(KEYS) do
  local added = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[1], '*', 'd', ARGV[i + 2])
  if type(added) == 'table' and added.err then
    refused[#refused + 1] = i
    refused[#refused + 1] = added.err
  else
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return refused
"""

Sums = dict[str, list[float]]
"""Metric → [total, count]."""
Batch = Mapping[ServiceId, Mapping[tuple[Origin, str, str], Sums]]
"""Samples buffered since the last flush, by service and by (origin, owner, reporter)."""


def key(service: ServiceId, what: str) -> str:
    """Return the Redis key of `what` of the service."""
    return f"headrace:{{{service}}}:{what}"


def chunks(services: Collection[ServiceId]) -> Iterator[list[ServiceId]]:
    """Yield `services` in batches of at most BATCH, the most that one Redis command takes."""
    every = list(services)
    for start in range(0, len(every), BATCH):
        yield every[start : start + BATCH]


class Windows:
    """Time windows of metric samples: written to Redis by all autoscalers, read back and cached.

    Raises RedisError when Redis fails.
    """

    def __init__(self, redis: Redis, *, keep: timedelta) -> None:
        self._redis = redis
        self._append = redis.register_script(_APPEND)
        self._keep_ms = int(keep.total_seconds() * 1000)
        self._expire_ms = self._keep_ms + 60_000
        self._read: dict[ServiceId, tuple[str, Window]] = {}

    async def write(self, batch: Batch) -> dict[ServiceId, str]:
        """Append a batch of samples to the streams. Return the services whose samples Redis refused, and why."""
        refused: dict[ServiceId, str] = {}
        for services in chunks(batch):
            entries = [to_json([(*who, sums) for who, sums in batch[service].items()]) for service in services]
            answer: list[Any] = await self._append(
                keys=[key(service, "samples") for service in services],
                args=[STREAM_ENTRIES, self._expire_ms, *entries],
            )
            for position, why in zip(answer[::2], answer[1::2], strict=True):
                refused[services[position - 1]] = why.decode(errors="replace")
        return refused

    async def read(self, services: Collection[ServiceId], now: datetime) -> None:
        """Read new entries into the windows of `services`; `now` is Redis' time. Windows of other services are dropped."""
        oldest_ms = int(now.timestamp() * 1000) - self._keep_ms
        kept: dict[ServiceId, tuple[str, Window]] = {}
        for service in services:
            last, window = self._read.get(service) or ("0-0", Window())
            window.forget_before(oldest_ms)
            kept[service] = (last if int(last.partition("-")[0]) >= oldest_ms else f"{oldest_ms}-0", window)
        self._read = kept
        for some in chunks(services):
            await self._read_some({key(service, "samples"): service for service in some})

    def of(self, service: ServiceId) -> Window:
        """Return the service's window as of the last read; an empty one when it was never read."""
        found = self._read.get(service)
        return found[1] if found else Window()

    async def _read_some(self, names: Mapping[str, ServiceId]) -> None:
        streams: dict[Any, Any] = {name: self._read[service][0] for name, service in names.items()}
        # [(name, [(id, {field: value}), …]), …] of streams that have news: RESP 2, which wiring asks for
        answer: Any = await self._redis.xread(streams)
        for name, entries in answer:
            service = names[name.decode()]
            window = self._read[service][1]
            last = self._read[service][0]
            for entry_id, fields in entries:
                last = entry_id.decode()
                for reading in _readings(int(last.partition("-")[0]), fields.get(b"d", b"[]")):
                    window.add(reading)
            self._read[service] = (last, window)


def _readings(at_ms: int, blob: bytes) -> Iterable[Reading]:
    for origin, owner, reporter, sums in json.loads(blob):
        for metric, (total, count) in sums.items():
            yield Reading(Origin(origin), owner, reporter, metric, at_ms, total, int(count))
