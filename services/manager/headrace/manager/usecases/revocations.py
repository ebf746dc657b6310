"""Tracking of revocations until all app-proxies have applied them.

Whoever revokes a leaked token wants to know when it is refused everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.ids import ServiceId
from headrace.common.db.pool import Connection, Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.in_force import NOT_FOLLOWED, Propagation, in_force
from headrace.manager.store import revocations
from headrace.manager.usecases.ports import AppProxies
from headrace.manager.views.revocations import revocation_view


@dataclass(frozen=True)
class NeededGenerations:
    """Generations of route tables that contain what this transaction writes."""

    generations: dict[ServiceId, int]

    async def note(self, con: Connection, credential_id: UUID) -> None:
        """Store them for this token or client."""
        await revocations.note(con, credential_id, self.generations)


class Revocations:
    """Tracker of revoked tokens and clients."""

    def __init__(self, pool: Pool, proxies: AppProxies, clock: Clock) -> None:
        self._pool = pool
        self._proxies = proxies
        self._clock = clock

    async def begin(self, con: Connection, subject: UUID) -> NeededGenerations:
        """Lock the route tables of a service, or of all services of a project, until the transaction ends.

        Call before revoking.
        """
        return NeededGenerations(await revocations.hold(con, subject))

    async def look(self, credential_id: UUID, subject: UUID) -> RevocationView:
        """Return the progress of a revocation."""
        async with self._pool.acquire() as con:
            needed = await revocations.needed(con, credential_id, subject)
        return revocation_view(credential_id, self._propagation(needed))

    def _propagation(self, needed: Mapping[ServiceId, int]) -> Propagation:
        if not needed:
            return NOT_FOLLOWED
        proxies = self._proxies
        return in_force(needed, proxies.remembered(), proxies.presence(), self._clock(), gathered=proxies.gathered())
