"""Use case of the status of the installation, for operators."""

from __future__ import annotations

import asyncio
from typing import Final

from headrace.common.contracts.http.status import InstallationStatus
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.db.pool import DATABASE_AWAY, Pool
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.installation import assess
from headrace.manager.store import instances
from headrace.manager.usecases.auth import Authentication, Presented
from headrace.manager.usecases.context import operators_only
from headrace.manager.usecases.ports import BusServers, ManagerState
from headrace.manager.views.status import installation_status

DATABASE_S: Final = 5.0
"""Longest time for what the database is asked; after it the answer says that it does not answer."""
MAX_INSTANCES: Final = 512
MAX_MACHINES: Final = 500
"""Machines that are shown, those in trouble first."""


class Status:
    """Use case of the status of the installation, for operators."""

    def __init__(
        self, pool: Pool, auth: Authentication, bus: BusServers, own: ManagerState, monotonic: Monotonic
    ) -> None:
        self._pool = pool
        self._auth = auth
        self._bus = bus
        self._own = own
        self._monotonic = monotonic

    async def show(self, presented: Presented) -> InstallationStatus:
        """Return each part of the installation. Raises Unauthenticated, Forbidden, and Unavailable without the database, by which
        callers are known: with what is known all the same.
        """
        try:
            async with asyncio.timeout(DATABASE_S):
                actor = await self._auth.actor(presented)
                operators_only(actor, "see the status of the installation")
                async with self._pool.acquire() as con:
                    began = self._monotonic()
                    await instances.ping(con)
                    latency_s = self._monotonic() - began
                    database = await instances.database(con)
                    known = await instances.every(con, MAX_INSTANCES)
                    machines = await instances.machines(con, MAX_MACHINES)
        except DATABASE_AWAY as error:
            raise self._without_database(error) from error
        bus = await self._bus.look()
        assessment = assess(database, bus, known, machines, latency_s)
        return installation_status(assessment, database.now, self._own.manager_name(), machines)

    def _without_database(self, error: Exception) -> Unavailable:
        text = str(error) or f"no answer within {DATABASE_S:g} s"
        why = self._own.database_problem() or f"PostgreSQL does not answer: {text}"
        nats = self._bus.unreachable() or "connected to NATS"
        return Unavailable(
            f"{why}. Requests are served, changes are refused until it is back; nobody is known without it, so this is all that "
            f"is told. Manager {self._own.manager_name()}: {nats}",
            reason=ApiReason.DATABASE_UNREACHABLE,
        )
