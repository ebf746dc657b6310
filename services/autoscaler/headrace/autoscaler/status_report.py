"""Publisher of AutoscalerReport: the state of this autoscaler, and of Redis as it answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from headrace.autoscaler.leases import Leases
from headrace.autoscaler.reconcile.tick import Tick
from headrace.autoscaler.rule_tables import RuleTables
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import AutoscalerId
from headrace.common.contracts.messages.autoscalers import AutoscalerReport, RedisServer
from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.runtime.clock import Clock
from headrace.common.runtime.loop import Loop

EVERY: Final = timedelta(seconds=5)


class StatusReporter:
    """Publishes AutoscalerReports, as a task. One that cannot be sent is dropped: the next one follows."""

    name = "status-report"

    def __init__(
        self,
        autoscaler_id: AutoscalerId,
        bus: Bus,
        redis: Redis,
        tables: RuleTables,
        leases: Leases,
        tick: Tick,
        *,
        instance: Callable[[bool], ServiceInstance],
        clock: Clock,
    ) -> None:
        """`instance`: the state of this process; the argument says whether it stops."""
        self._id = autoscaler_id
        self._bus = bus
        self._redis = redis
        self._tables = tables
        self._leases = leases
        self._tick = tick
        self._instance = instance
        self._clock = clock
        self._loop = Loop("status-report", self.one_pass, every=EVERY)

    def poke(self) -> None:
        """Request a report soon."""
        self._loop.poke()

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Report until stop(), and once more that this autoscaler stops."""
        await self._loop.run()
        await self._report(None, stopping=True)

    async def one_pass(self) -> None:
        """Report once."""
        if self._bus.connected:
            await self._report(await self._server())

    async def _report(self, server: RedisServer | None, *, stopping: bool = False) -> None:
        await publish(
            self._bus,
            AutoscalerReport(
                autoscaler_id=self._id,
                sent_at=self._clock(),
                instance=self._instance(stopping),
                services=len(self._tables.all()),
                evaluated=len(self._leases.last_claimed()) if self._tick.paused is None else 0,
                last_tick_at=self._tick.last_at,
                redis=server,
            ),
        )

    async def _server(self) -> RedisServer | None:
        """Return what Redis tells of itself; None where it does not answer, or its user may not ask (`INFO`)."""
        told: dict[str, Any] = {}
        try:
            for section in ("server", "replication", "memory"):
                told |= await self._redis.info(section)
            at = self._redis.connection_pool.connection_kwargs
            return RedisServer(
                version=str(told.get("valkey_version") or told.get("redis_version") or ""),
                role=str(told.get("role", "")),
                memory_bytes=int(told.get("used_memory", 0)),
                max_memory_bytes=int(told.get("maxmemory", 0)),
                address=f"{at['host']}:{at['port']}" if "host" in at and "port" in at else "",
            )
        except (RedisError, OSError, ValueError, ValidationError):
            return None
