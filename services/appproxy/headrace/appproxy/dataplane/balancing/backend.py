"""A backend: one service in one worker: replicas, queue, outlier detector, retry budget.

It lives across table updates, so that in-flight counts, queue and balancing state survive a new table.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from headrace.appproxy.dataplane.balancing.admission import (
    NO_OTHER,
    Refusal,
    is_routable,
    may_wait,
    no_replica,
    replicas_full,
    unreachable,
)
from headrace.appproxy.dataplane.balancing.fair_queue import FairQueue, Ticket
from headrace.appproxy.dataplane.balancing.load_balancer import LoadBalancer
from headrace.appproxy.dataplane.balancing.outlier import Fault, OutlierDetector, eligible
from headrace.appproxy.dataplane.balancing.retry import RetryBudget
from headrace.appproxy.dataplane.balancing.waiter import Waiter
from headrace.appproxy.dataplane.route_table import RouteEntry
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats, StatsRegistry
from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.appproxy.dataplane.upstream.replica import DrainCounter, Replica
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Route
from headrace.common.contracts.reasons.proxy import ProxyReason

_NONE: frozenset[str] = frozenset()
_FAULTS: dict[str, Fault] = {
    ProxyReason.CONNECT_FAILED: "connect",
    ProxyReason.CONNECT_TIMEOUT: "connect",
    ProxyReason.CONNECTION_LOST: "dropped",
    ProxyReason.REPLICA_UNREACHABLE: "connect",
    ProxyReason.FIRST_BYTE_TIMEOUT: "slow",
}


class Backend:
    """Run-time state of one service in one worker: replicas, queue, outlier detector, retry budget.

    `make` builds a replica, `retire` takes one that left the table; `notify` is called when the queue becomes empty or
    non-empty, or a drain ends.
    """

    def __init__(
        self,
        entry: RouteEntry,
        *,
        stats: StatsRegistry,
        make: Callable[[Route, ReplicaStats], Replica],
        retire: Callable[[Replica, float], None],
        notify: Callable[[], None],
        chance: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        table = entry.table
        self.entry, self.table = entry, table
        self.requests = 0
        """Requests so far that needed a replica."""
        self.name: str = table.name
        self.key = str(table.service_id)
        self.stats = stats.service(table.service_id, self.name)
        self.replicas: dict[SessionId, Replica] = {}
        self.queue: FairQueue[Waiter] = FairQueue(table.limits.max_queued)
        self._stats = stats
        self._make = make
        self._retire = retire
        self._notify = notify
        self.now = now
        self._outliers = OutlierDetector()
        self.load_balancer = LoadBalancer(chance)
        """Load-balancing policy and its state."""
        self._chance = chance
        self._least_request_only = False
        """True while the policy is `least_in_flight`, for a fast path without suspects or full replicas."""
        self._max_in_flight: int | None = None
        self.first_byte_timeout_s, self.max_body_bytes = table.limits.first_byte_timeout_s, table.limits.max_body_bytes
        self._retry_budget = RetryBudget()
        self._routable: list[Replica] = []
        """Replicas that may get new requests by the table."""

    # --- the table

    @property
    def has_suspects(self) -> bool:
        """True if the outlier detector holds a failure against any replica."""
        return bool(self._outliers.suspects)

    def update(self, entry: RouteEntry, cells: Mapping[SessionId, InFlightCell], now_s: float) -> None:
        """Apply a new table; queued requests that a replica can take now are dispatched."""
        table = entry.table
        entry.expires_s = min(entry.expires_s, self.entry.expires_s)
        self.entry, self.table, self.name = entry, table, table.name
        self.queue.max_queued = table.limits.max_queued
        routes = {route.session_id: route for route in table.routes}
        for session_id in [known for known in self.replicas if known not in routes]:
            self._retire_replica(session_id)
        for session_id, route in routes.items():
            replica = self.replicas.get(session_id)
            if replica is None:
                numbers = self._stats.replica(table.service_id, self.name, route.revision_id, session_id)
                replica = self.replicas[session_id] = self._make(route, numbers)
            else:
                replica.update(route)
            if session_id in cells:
                replica.share_count(cells[session_id])
        self._routable = [replica for replica in self.replicas.values() if is_routable(replica.route)]
        self._outliers.keep_only({replica.key for replica in self.replicas.values()})
        self.load_balancer.update(table.balance, self._routable, now_s)
        self._least_request_only = self.load_balancer.is_least_request
        self._max_in_flight = table.limits.max_in_flight_per_replica
        self.first_byte_timeout_s, self.max_body_bytes = table.limits.first_byte_timeout_s, table.limits.max_body_bytes
        self.dispatch()

    def _retire_replica(self, session_id: SessionId) -> None:
        """Retire a replica that left the table. Requests open on it go on for as long as it lives."""
        replica = self.replicas.pop(session_id)
        if replica.drain is None:
            replica.drain = DrainCounter(len(replica.open))
        replica.retired = True
        replica.close_idle()
        self._retire(replica, self.now())
        self._notify()

    def end(self) -> None:
        """End the backend of a removed service: queued and later requests are refused."""
        self.table = self.table.model_copy(update={"removed": True})
        self._routable = []
        for session_id in list(self.replicas):
            self._retire_replica(session_id)
        self.dispatch()

    # --- choosing

    def pick(
        self, affinity_key: int | None, tried: frozenset[str] = _NONE, *, found_room: bool = False
    ) -> Replica | Refusal:
        """Return the replica for a request, or the refusal.

        `tried`: replicas on which it failed already. `found_room`: there was room a moment ago, so this one request may
        exceed the limit if another worker was faster.
        """
        usable = self._routable
        if self._least_request_only and usable and not self._outliers.suspects and not tried:
            drawn = self._draw()
            if self._max_in_flight is None or drawn.in_flight < self._max_in_flight:
                return drawn
        if tried or self._outliers.suspects:
            usable = self._eligible(tried)
        if not usable:
            return self._no_candidate(tried)
        limit = self._max_in_flight
        if limit is not None:
            free = [replica for replica in usable if replica.in_flight < limit]
            if not (free or found_room):
                return replicas_full(len(usable), limit)
            usable = free or usable
        return self.load_balancer.pick(usable, affinity_key)

    def _draw(self) -> Replica:
        """Return a routable replica by least requests of two (as `least_in_flight`), compiled and without a look-up by
        name.
        """
        able = self._routable
        if len(able) == 1:
            return able[0]
        weights = self.load_balancer.weights
        at, other = weights.draw_two(self._chance)
        first, second = able[at], able[other]
        return second if weights.prefers_other(at, first.in_flight, other, second.in_flight) else first

    def pick_healthy(self, affinity_key: int | None, tried: frozenset[str]) -> Replica | None:
        """Return a replica for a request that leaves an ejected one.

        The replica has room, no failure held against it, and is not among those `tried`.
        """
        out = self.ejected() | self._outliers.on_trial() | tried
        most = self._max_in_flight
        well = [
            replica
            for replica in self._routable
            if replica.key not in out and (most is None or replica.in_flight < most)
        ]
        return self.load_balancer.pick(well, affinity_key) if well else None

    def _no_candidate(self, tried: frozenset[str]) -> Refusal:
        if not self._routable:
            return no_replica(self.table)
        return NO_OTHER if tried else unreachable(self.table, len(self._routable))

    def _eligible(self, tried: Container[str]) -> list[Replica]:
        # Without a queue, unreachable replicas are tried each time if there are no others.
        unreachable_keys = self._outliers.unreachable() if self.table.limits.max_queued else _NONE
        left, _panic = eligible(self._routable, self._outliers.ejected(), unreachable_keys)
        trial = self._outliers.on_trial()
        if trial:
            left = [r for r in left if r.key not in trial or not r.in_flight] or left
        untried = [replica for replica in left if replica.key not in tried]
        return untried or [r for r in self._routable if r.key not in tried and r.key not in unreachable_keys]

    # --- waiting

    def admit(self, affinity_key: int | None) -> Replica | Refusal:
        """Return the replica for a new request, or the refusal with which it may be queued (`enqueue`)."""
        self.requests += 1
        if not self.queue.size:  # no request overtakes queued ones
            return self.pick(affinity_key)
        return replicas_full(len(self._routable), self.table.limits.max_in_flight_per_replica)

    def requeue(self, waiter: Waiter) -> Refusal | None:
        """Queue a request again that certainly did not run on its replica.

        Its deadline is the one it would have if it had waited from the beginning. Return None if it is queued or
        dispatched, else the refusal.
        """
        refusal = self.pick(waiter.affinity_key)
        why = refusal if isinstance(refusal, Refusal) else replicas_full(len(self._routable), self._max_in_flight)
        if (refused := self.enqueue(waiter, why)) is not None:
            return refused
        self.dispatch()  # a replica may have room that it was not sent to yet
        return None

    def enqueue(self, waiter: Waiter, refusal: Refusal) -> Refusal | None:
        """Queue a request that no replica takes now. Return None if it is queued, else the refusal."""
        now_s = self.now()
        if waiter.wait_until_s is None:
            waiter.wait_until_s = now_s + self.table.limits.queue_timeout_s
        if now_s >= waiter.wait_until_s or not may_wait(self.table, refusal):
            return refusal
        pushed = self.queue.push(
            waiter,
            caller=waiter.caller_key,
            share=waiter.share,
            now_s=now_s,
            deadline_s=waiter.wait_until_s,
        )
        if pushed.evicted is not None:
            self._leave_queue(pushed.evicted).refuse(self._queue_full())
        if pushed.ticket is None:
            return self._queue_full()
        waiter.ticket = pushed.ticket
        if len(self.queue) == 1:
            self._notify()
        return None

    def _queue_full(self) -> Refusal:
        return Refusal(
            ProxyReason.QUEUE_FULL, f"{len(self.queue)} requests wait already, which is the queue's limit", 1
        )

    def _leave_queue(self, ticket: Ticket[Waiter]) -> Waiter:
        waiter = ticket.item
        waiter.ticket = None
        seconds = self.now() - ticket.pushed_s
        waiter.queued_s = (waiter.queued_s or 0.0) + seconds
        self.stats.queue_seconds.observe(seconds)
        return waiter

    def dispatch(self) -> None:
        """Dispatch queued requests for as long as a replica has room."""
        if not self.queue:
            return
        hopeless = no_replica(self.table) if not self._routable else None
        while self.queue and (self._has_room() or (hopeless and not may_wait(self.table, hopeless))):
            ticket = self.queue.pop()
            if ticket is None:
                break
            waiter = self._leave_queue(ticket)
            chosen = self.pick(waiter.affinity_key, found_room=True)
            if isinstance(chosen, Refusal):
                waiter.refuse(chosen)
            else:
                waiter.send_to(chosen)
        if not self.queue:
            self._notify()

    def _has_room(self) -> bool:
        limit = self.table.limits.max_in_flight_per_replica
        return any(limit is None or replica.in_flight < limit for replica in self._eligible(_NONE))

    def replica_freed(self, replica: Replica) -> None:
        """Dispatch queued requests after a replica got room."""
        if replica.drain is not None and not replica.open:
            self._notify()
        if self.queue:
            self.dispatch()

    def cancel(self, waiter: Waiter) -> None:
        """Remove a request from the queue."""
        ticket = waiter.ticket
        if ticket is not None and self.queue.cancel(ticket):
            self._leave_queue(ticket)
            self._notify()

    def expire_queued(self, now_s: float) -> None:
        """Refuse the queued requests whose deadline has passed, unless a replica has room at this moment."""
        if self.queue:
            for ticket in self.queue.expired(now_s):
                waiter = self._leave_queue(ticket)
                chosen = self.pick(waiter.affinity_key)
                if isinstance(chosen, Refusal):
                    waiter.refuse(chosen)
                else:  # a replica got room at this moment
                    waiter.send_to(chosen)

    @property
    def waits_for_first_replica(self) -> bool:
        """True if requests are queued while no replica serves (scale from zero)."""
        return bool(self.queue) and not self._routable

    # --- health

    def record_status(self, replica: Replica, status: int) -> None:
        """Report a replica's response status to the outlier detector."""
        if self._outliers.record_status(replica.key, status, self.now()):
            self._eject(replica)

    def record_failure(self, replica: Replica, failure: Failure) -> None:
        """Report a failed attempt to the outlier detector. The loss of an idle kept-alive connection does not count."""
        fault = _FAULTS.get(failure.kind)
        if fault is None or (fault == "dropped" and failure.reused):
            return
        if self._outliers.record_failure(replica.key, fault, self.now()):
            self._eject(replica)

    def _eject(self, replica: Replica) -> None:
        self.stats.ejections += 1
        replica.close_idle()

    def ejected(self) -> frozenset[str]:
        """Return the session ids of the ejected replicas."""
        return self._outliers.ejected() if self._outliers.suspects else frozenset()

    def ejected_replicas(self) -> list[Replica]:
        """Return the ejected replicas."""
        ejected = self.ejected()
        return [replica for replica in self.replicas.values() if replica.key in ejected] if ejected else []

    def may_retry(self) -> bool:
        """Return True if the retry budget allows one more retry."""
        return self._retry_budget.may_retry(self.requests, self.now())

    def due_probes(self) -> list[Replica]:
        """Return the replicas due for a probe by connecting."""
        if not self._outliers.suspects:
            return []
        due = set(self._outliers.due_probes(self.now(), awaited=bool(self.queue)))
        return [replica for replica in self.replicas.values() if replica.key in due]

    def record_probe(self, replica: Replica, *, well: bool) -> None:
        """Report a probe's result to the outlier detector."""
        now_s = self.now()
        self._outliers.record_probe(replica.key, now_s, well=well)
        if well:
            self.load_balancer.restart_slow_start(replica, now_s)
            self.dispatch()

    def sweep(self, now_s: float, keep_s: float) -> None:
        """Run periodic work: close connections idle for longer than `keep_s`, end overdue drains, advance slow starts,
        move requests.

        Requests without a response are moved away from ejected and unhealthy replicas.
        """
        self._retry_budget.count_requests(self.requests, now_s)
        for replica in self.replicas.values():
            replica.close_idle(now_s - keep_s)
            replica.cut_overdue(now_s)
        self._move_requests()
        self.load_balancer.advance_slow_start(self._routable, now_s)

    def _move_requests(self) -> None:
        """Move requests away from ejected and unhealthy replicas, where that is safe."""
        ill = self._outliers.unresponsive() if self._outliers.suspects else _NONE
        for replica in self.replicas.values():
            if replica.open and (replica.route.health == "unhealthy" or replica.key in ill):
                replica.move_requests()
