"""Agents loop: marks silent machines lost. Only silence while this manager was listening counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import NodeReport
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.presence import Presence
from headrace.manager.store import reports

log = structlog.get_logger()
ECHO_S = 2.0


class AgentLiveness:
    """Reads: last report of each machine, received here and in the database.

    Writes: `lost_at`; the services loop does the rest.

    A manager that has just started, that lost the bus, that was itself suspended or that hears none of several machines
    at once has received no report; that says nothing about the machines. So a machine is lost when the database's last
    report of it is older than `lost_after`, and this manager received none for as long although it listened without
    interruption.
    """

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        poke: Callable[..., None],
        *,
        lost_after: timedelta,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._poke = poke
        self._lost_after = lost_after
        self._monotonic = monotonic
        self._presence = Presence(lost_after.total_seconds())
        self._subscription: Subscription | None = None
        bus.on_reconnect(self._presence.interrupt)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Subscribe to every machine's reports while inside, also those that another manager of the group writes."""

        async def on_report(message: Msg) -> None:
            self._presence.heard(message.subject.rsplit(".", 1)[-1], self._monotonic())

        subscription = await self._bus.client.subscribe(NodeReport.wildcard(), cb=on_report)
        self._subscription = subscription
        try:
            yield
        finally:
            self._subscription = None
            self._presence.interrupt()
            with suppress(NatsError, OSError):  # the connection may be gone, and the subscription with it
                await subscription.unsubscribe()

    async def one_pass(self) -> None:
        """Mark silent machines lost."""
        if not await self._caught_up():
            self._presence.interrupt()
            return
        present = self._presence.present(self._monotonic())
        if present is None:
            return
        lost = await self._lose(present)
        if lost:
            log.warning("machines_lost", agents=lost, after_s=self._lost_after.total_seconds())
            self._poke("routes", "services", "rules")

    async def _lose(self, present: list[str]) -> list[AgentId]:
        async with transaction(self._pool) as con:
            return await reports.lose_silent(con, self._lost_after, besides=present)

    async def _caught_up(self) -> bool:
        """Return whether every message of the bus up to now was handled (a round trip, with nothing left unread)."""
        if self._subscription is None or not self._bus.connected:
            return False
        try:
            async with asyncio.timeout(ECHO_S):
                await self._bus.flush()
                while self._subscription is not None and self._subscription.pending_msgs:  # noqa: ASYNC110 - nothing tells 'read to the end'
                    await asyncio.sleep(0)
        except (NatsError, TimeoutError, OSError):
            return False
        return self._subscription is not None
