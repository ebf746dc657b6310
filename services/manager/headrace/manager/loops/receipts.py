"""Receipts loop: stores the receipts of drains from app-proxies' reports; whichever manager received one does it."""

from __future__ import annotations

from datetime import datetime

from headrace.common.contracts.ids import SessionId
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.lifecycle.receipts import Drain, updated
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.store import receipts


class ReceiptsLoop:
    """Reads: drains, newest reports of app-proxies. Writes: drain_receipts.

    Any number of managers may run it: counts only grow.
    """

    def __init__(self, pool: Pool, proxies: AppProxyReports, clock: Clock) -> None:
        self._pool = pool
        self._proxies = proxies
        self._clock = clock
        self._seen: dict[SessionId, datetime] = {}
        self._begun: frozenset[SessionId] = frozenset()

    async def one_pass(self) -> None:
        """Store new counts. A missed report is harmless: the next one has the counts too."""
        now, heard = self._clock(), self._proxies.lately()
        named = frozenset(route.session_id for one in heard.values() for route in one.report.draining)
        async with transaction(self._pool) as con:
            if new := named - self._begun:  # again and again: it may have left the table before it is known to leave
                await receipts.begin(con, sorted(new))
            drains = await receipts.open_ones(con)
            self._seen = {drain.session_id: self._seen.get(drain.session_id, now) for drain in drains}
            known = [(drain, self._with(drain, now)) for drain in drains]
            changed = [fresh for drain, fresh in known if fresh != drain]
            for drain in changed:
                await receipts.keep(con, drain)
        self._begun = named & (self._begun | {drain.session_id for drain in drains})

    def _with(self, drain: Drain, now: datetime) -> Drain:
        heard, since = self._proxies.lately(), self._seen[drain.session_id]
        all_since = bool(heard) and all(one.at > since for one in heard.values())
        gathered = self._proxies.gathered() and (all_since or now - since >= self._proxies.gather_for)
        return updated(drain, heard, since=since, gathered=gathered)
