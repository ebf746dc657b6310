"""The attempts to get one admitted request answered: choose a replica, send, and send again where that is safe."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aiohttp import web

from headrace.appproxy import metrics
from headrace.appproxy.domain.admission import Refusal, admit
from headrace.appproxy.domain.headers import Pairs
from headrace.appproxy.domain.retry import Failure, Step, next_step
from headrace.appproxy.forward.answers import failed, refused
from headrace.appproxy.forward.body import RequestBody
from headrace.appproxy.forward.parts import Parts
from headrace.appproxy.forward.relay import relay
from headrace.appproxy.forward.tunnel import tunnel
from headrace.appproxy.forward.upstream import NoAnswerError
from headrace.appproxy.record import Record
from headrace.appproxy.table import Entry
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Route


@dataclass(slots=True)
class Exchange:
    """One request that may go to `entry`'s replicas. `target` and `headers` are what the replica gets."""

    parts: Parts
    request: web.BaseRequest
    record: Record
    entry: Entry
    target: str
    headers: Pairs
    body: RequestBody
    upgrade: bool
    prefix: str
    """What the caller's path had before the target."""

    async def run(self) -> web.StreamResponse:
        """Return the answer. Raises the Problem that the caller is shown where no replica answered."""
        tried: set[SessionId] = set()
        route, fresh = self._choose(tried, None), False
        while True:
            with self.parts.load.lease(self.entry.table.service_id, route.session_id):
                self.record.session_id = route.session_id
                try:
                    return await self._attempt(route, fresh=fresh)
                except NoAnswerError as error:
                    failure = error.failure
            step = self._after(failure, route)
            if step == "give-up":
                raise failed(failure)
            fresh = step == "same-replica"
            if not fresh:
                tried.add(route.session_id)
                route = self._choose(tried, failure)
            self.record.retries += 1
            metrics.RETRIES.labels(self.entry.table.name, failure.kind).inc()

    def _choose(self, tried: set[SessionId], failure: Failure | None) -> Route:
        """Return a replica by the newest table. Raises the last failure's problem once there is no other one to try."""
        entry = self.parts.tables.get(self.entry.table.service_id) or self.entry
        chosen = admit(
            entry.table,
            in_flight=self.parts.load.in_flight,
            ejected=self.parts.ejections.out(time.monotonic()),
            tried=tried,
            chance=self.parts.chance,
        )
        if isinstance(chosen, Refusal):
            raise failed(failure) if failure else refused(chosen)
        return chosen

    def _after(self, failure: Failure, route: Route) -> Step:
        if self._takes_out(failure, route.session_id):
            metrics.EJECTIONS.labels(self.entry.table.name).inc()
        return next_step(
            failure,
            method=self.request.method,
            sent=self.body.sent,
            retries=self.record.retries,
            same_instant_s=self.parts.settings.same_instant_s,
        )

    def _takes_out(self, failure: Failure, session_id: SessionId) -> bool:
        if failure.kind in ("connect-failed", "connect-timeout"):
            return self.parts.ejections.refused(session_id, time.monotonic())
        if failure.kind == "connection-lost" and not failure.reused:
            return self.parts.ejections.dropped(session_id, time.monotonic())
        return False

    async def _attempt(self, route: Route, *, fresh: bool) -> web.StreamResponse:
        limits = self.entry.table.limits
        response = await self.parts.upstreams.send(
            route,
            method=self.request.method,
            target=self.target,
            headers=self.headers,
            body=self.body,
            first_byte_s=limits.first_byte_timeout_s,
            fresh=fresh,
        )
        try:
            self.parts.ejections.answered(route.session_id)
            if response.status == 101:
                if self.upgrade:
                    return await tunnel(self.request, response, self.record, idle_s=limits.idle_timeout_s)
                raise NoAnswerError(Failure("bad-response", "the replica switched protocols without being asked"))
            return await relay(
                self.request,
                response,
                self.record,
                self.body,
                idle_s=limits.idle_timeout_s,
                stall_s=self.parts.settings.caller_idle_timeout_s,
                close=self.parts.stopping.is_set(),
                replica=f"{route.host}:{route.port}",
                prefix=self.prefix,
            )
        finally:
            response.close()  # after a whole answer the connection is back in the pool, and this does nothing
