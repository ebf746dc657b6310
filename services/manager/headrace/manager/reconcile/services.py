"""The services loop: live sessions become what services want."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import get_args

import structlog

from headrace.common.contracts.http.services import SessionStatus
from headrace.common.contracts.ids import ServiceId, SessionId, new_uuid
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain import validation
from headrace.manager.domain.replicas import Action, Create, Failed, Leave, Recovered, Seen, Wanted, decide
from headrace.manager.metrics import SESSIONS, STARTS_FAILED
from headrace.manager.reconcile.reports import Proxies
from headrace.manager.store import receipts, sessions
from headrace.manager.store.sessions import LiveRow, ServiceRow

log = structlog.get_logger()


class Services:
    """Reads: services, live sessions, lost machines, drains at app-proxies. Changes: sessions, start errors, deletions, begin and end of drains."""

    def __init__(self, pool: Pool, proxies: Proxies, clock: Clock, poke: Callable[..., None]) -> None:
        self._pool = pool
        self._proxies = proxies
        self._clock = clock
        self._poke = poke

    async def one_pass(self) -> None:
        """Observe once, decide per service, act with compare-and-set; what lost a race is decided again by the next pass."""
        async with transaction(self._pool, isolation="repeatable_read") as con:
            wanted = await sessions.services(con)
            live = await sessions.live(con)
        now = self._clock()
        by_service: dict[ServiceId | None, list[LiveRow]] = defaultdict(list)
        for row in live:
            by_service[row.service_id].append(row)
        statuses = Counter(row.status for row in live)
        for status in get_args(SessionStatus):
            SESSIONS.labels(status).set(statuses[status])
        acted = 0
        for service in wanted:
            acted += await self._one_service(service, by_service.pop(service.id, []), now)
        for row in by_service.pop(None, []):
            acted += await self._one_validation(row, now)
        async with transaction(self._pool) as con:
            settled = await sessions.settle(con)
        if acted or settled:  # "services" too: the next step may be due already
            self._poke("placement", "plans", "routes", "rules", "services", "receipts")

    async def _one_service(self, service: ServiceRow, rows: list[LiveRow], now: datetime) -> int:
        have = [self._seen(service.id, row) for row in rows]
        want = Wanted(
            goal=service.goal, replicas=service.wanted, revision_id=service.revision_id, drain_grace_s=service.drain_grace_s,
            failed_starts=service.failed_starts, next_start_at=service.next_start_at, last_failed_at=service.last_failed_at,
        )  # fmt: skip
        actions = decide(want, have, now)
        if not actions:
            return 0
        revs = {row.id: row.rev for row in rows}
        async with transaction(self._pool) as con:
            if not await sessions.unchanged(con, service.id, service.rev, revs):
                self._poke("services")
                return 0
            for action in actions:
                await self._act(con, service, action, revs)
        log.info("service_reconciled", service_id=str(service.id), actions=[_short(action) for action in actions])
        return len(actions)

    async def _act(self, con: Connection, service: ServiceRow, action: Action, revs: dict[SessionId, int]) -> None:
        match action:
            case Create(revision_id):
                await sessions.create(
                    con, session_id=SessionId(new_uuid()), kind="inference", project_id=service.project_id, service_id=service.id,
                    revision_id=revision_id, resolved=None, resource_group=service.resource_group, created_by=service.created_by,
                )  # fmt: skip
            case Leave():
                if await sessions.leave(con, action, revs[action.id]):
                    await receipts.left(con, action)
            case Failed():
                STARTS_FAILED.inc()
                await sessions.record_failure(con, service.id, action)
            case Recovered():
                await sessions.clear_failures(con, service.id)

    async def _one_validation(self, row: LiveRow, now: datetime) -> int:
        action = validation.decide(self._seen(None, row), row.resolved or {}, now)
        if action is None:
            return 0
        async with transaction(self._pool) as con:
            await sessions.leave(con, action, row.rev)
        return 1

    def _seen(self, service_id: ServiceId | None, row: LiveRow) -> Seen:
        knows_kernel = row.kernel_state is not None
        reason = (row.kernel_code, row.kernel_text) if knows_kernel else (row.reason_code, row.reason_text)
        return Seen(
            id=row.id, revision_id=row.revision_id, status=row.status, health=row.health, was_healthy=row.was_healthy,
            kernel_state=row.kernel_state, reason=Reason(code=reason[0] or "unknown", text=reason[1] or ""), created_at=row.created_at,
            drain_deadline=row.drain_deadline, lost=row.lost,
            let_go=row.status == "draining" and service_id is not None and self._proxies.let_go(service_id, row.id, row.drain_generation),
        )  # fmt: skip


def _short(action: Action) -> str:
    match action:
        case Leave(id, status, reason):
            return f"{status} {id} ({reason.code})"
        case Failed(id, reason, failures):
            return f"failed {id} ({reason.code}, {failures} in a row)"
        case _:
            return type(action).__name__.lower()
