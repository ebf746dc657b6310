"""Instances loop: stores this manager's own state, and what app-proxies and autoscalers reported to it.

A task of its own: it goes on until the API has stopped, and says then that this manager stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog

from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.readiness import ManagerWarning
from headrace.common.db.pool import DATABASE_AWAY, Pool, transaction
from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import Loop
from headrace.manager.inbox.instances import Heard, HeardInstances
from headrace.manager.store import instances

log = structlog.get_logger()
EVERY: Final = timedelta(seconds=5)
PAUSE: Final = timedelta(seconds=0.5)
"""News are stored at once, and at most so often."""
STORE_S: Final = 5.0
"""Longest time for storing; longer is as good as a database that is away."""
KEPT: Final = timedelta(days=1)
"""How long a part that is silent, or was stopped, is remembered."""
MAX_KEPT: Final = 512
"""Parts that are remembered: those heard of last."""


class InstancesLoop:
    """Reads: this manager's readiness, reports since the last pass. Writes: service_instances; its cost is that of few rows."""

    name = "instances"

    def __init__(
        self,
        pool: Pool,
        heard: HeardInstances,
        *,
        manager: Callable[[], tuple[str, str]],
        instance: Callable[[bool], ServiceInstance],
        monotonic: Monotonic,
    ) -> None:
        """`manager`: this manager's name and address. `instance`: its state; the argument says whether it stops."""
        self._pool = pool
        self._heard = heard
        self._manager = manager
        self._instance = instance
        self._monotonic = monotonic
        self._stored_at = monotonic()
        self._error: str | None = None
        self._loop = Loop("instances", self.one_pass, every=EVERY, pause=PAUSE, monotonic=monotonic)
        heard.on_news = self._loop.poke

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Store until stop(), and then that this manager stops."""
        await self._loop.run()
        try:
            await self._store([self._own(stopping=True)])
        except DATABASE_AWAY as error:  # others see that it is silent
            log.info("stop_not_stored", why=str(error) or type(error).__name__)

    def manager_name(self) -> str:
        """Return this manager's name."""
        return self._manager()[0]

    def database_problem(self) -> str | None:
        """Readiness warning: None, or since when the database takes nothing, and why."""
        if self._error is None:
            return None
        return f"PostgreSQL has taken nothing for {self._monotonic() - self._stored_at:.0f} s: {self._error}"

    async def one_pass(self) -> None:
        """Store this manager's state, and what was heard since the last pass."""
        try:
            await self._store([self._own(), *self._heard.take()])
        except DATABASE_AWAY as error:
            self._error = str(error) or f"no answer within {STORE_S:g} s"
            raise
        self._error, self._stored_at = None, self._monotonic()

    async def _store(self, heard: Sequence[Heard]) -> None:
        async with asyncio.timeout(STORE_S), transaction(self._pool) as con:
            await instances.seen(con, [_row(one, self._monotonic()) for one in heard])
            await instances.forget(con, KEPT, MAX_KEPT)

    def _own(self, *, stopping: bool = False) -> Heard:
        name, address = self._manager()
        one = self._instance(stopping)
        # Not that the database takes nothing: what is stored shows that it does.
        checks = {check: why for check, why in one.checks.items() if check != ManagerWarning.DATABASE}
        return Heard("manager", name, self._monotonic(), one.model_copy(update={"checks": checks}), address, {})


def _row(heard: Heard, now: float) -> Mapping[str, Any]:
    one = heard.instance
    return {
        "kind": heard.kind,
        "name": heard.name,
        "version": one.version if one is not None else "",
        "host": one.host if one is not None else "",
        "address": heard.address,
        "started_at": one.started_at.isoformat() if one is not None else None,
        "age_s": max(0.0, now - heard.at),
        "stopped": one is not None and one.stopping,
        "ready": one is None or one.ready,
        "checks": dict(one.checks) if one is not None else {},
        "facts": dict(heard.facts),
    }
