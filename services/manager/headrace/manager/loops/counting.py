"""Loop that counts machines and serving replicas, and looks for the newest backup, for metrics."""

from __future__ import annotations

from typing import Final

from headrace.common.db.pool import Pool
from headrace.manager.metrics import AGENTS, LAST_BACKUP, SERVICE_REPLICAS
from headrace.manager.store import counts

MAX_SERVICES: Final = 20_000
"""Services that have series; further ones are not counted."""
_STATES: Final = ("wanted", "serving")


class CountingLoop:
    """Reads services, replicas, machines and the history of backups. Writes nothing but gauges."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: set[tuple[str, str]] = set()

    async def one_pass(self) -> None:
        """Set the gauges, and take away those of services that are gone."""
        async with self._pool.acquire(timeout=15) as con:
            agents = await counts.agents(con)
            services = await counts.services(con, MAX_SERVICES)
            LAST_BACKUP.set(await counts.last_backup(con))
        for status, number in agents.items():
            AGENTS.labels(status).set(number)
        for one in services:
            SERVICE_REPLICAS.labels(one.project, one.service, "wanted").set(one.wanted)
            SERVICE_REPLICAS.labels(one.project, one.service, "serving").set(one.serving)
        now = {(one.project, one.service) for one in services}
        for project, service in self._known - now:
            for state in _STATES:
                SERVICE_REPLICAS.remove(project, service, state)
        self._known = now
