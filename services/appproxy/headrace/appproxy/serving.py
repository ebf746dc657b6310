"""One service as one worker serves it: its replicas, who waits for them, and what is known of their health beside the table.

Lives across table updates: a new table changes what it says and nothing else, so load, queue and balance never start anew.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any

from headrace.appproxy.domain.admission import NO_OTHER, Refusal, may_wait, nobody, replicas_full, serves, unreachable
from headrace.appproxy.domain.fair_queue import FairQueue, Ticket
from headrace.appproxy.domain.health import Passed, Trouble, passable
from headrace.appproxy.domain.retry import Failure, RetryBudget
from headrace.appproxy.picking import Picker
from headrace.appproxy.stats import StatsBook
from headrace.appproxy.table import Entry
from headrace.appproxy.upstream.replica import Drain, Replica
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Route

if TYPE_CHECKING:
    from headrace.appproxy.traffic.attempts import Attempts

_NOBODY: frozenset[str] = frozenset()
_TROUBLES: dict[str, Trouble] = {
    "connect-failed": "connect",
    "connect-timeout": "connect",
    "connection-lost": "dropped",
    "first-byte-timeout": "slow",
}


class Serving:
    """The live side of one service.

    `make` builds a replica, `let_go` takes one that left; `notify` is told when requests begin or cease to wait, or a drain ends.
    """

    def __init__(
        self,
        entry: Entry,
        *,
        book: StatsBook,
        make: Callable[[Route, Any], Replica],
        let_go: Callable[[Replica, float], None],
        notify: Callable[[], None],
        chance: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        table = entry.table
        self.entry, self.table = entry, table
        self.requests = 0
        """All that came to a choice of a replica."""
        self.name: str = table.name
        self.key = str(table.service_id)
        self.stats = book.service(self.key, self.name)
        self.replicas: dict[SessionId, Replica] = {}
        self.queue: FairQueue[Attempts] = FairQueue(table.limits.max_queued)
        self._book = book
        self._make = make
        self._gone = let_go
        self._notify = notify
        self._now = now
        self._passed = Passed()
        self.picker = Picker(chance)
        """What of a request binds it to a replica."""
        self._chance = chance
        self._plain = False
        """Whether the choice is `least_in_flight` alone while no replica is in trouble or full, as for most services."""
        self._most: int | None = None
        self.first_byte_timeout_s, self.max_body_bytes = table.limits.first_byte_timeout_s, table.limits.max_body_bytes
        self._budget = RetryBudget()
        self._able: list[Replica] = []
        """Those that the table lets serve."""

    # --- the table

    @property
    def troubled(self) -> bool:
        """Whether anything is held against any replica."""
        return bool(self._passed.troubled)

    def update(self, entry: Entry, slots: Mapping[SessionId, Any], now_s: float) -> None:
        """Take over a new table; requests that can go on now go on."""
        table = entry.table
        entry.expires_s = min(entry.expires_s, self.entry.expires_s)
        self.entry, self.table, self.name = entry, table, table.name
        self.queue.max_queued = table.limits.max_queued
        routes = {route.session_id: route for route in table.routes}
        for session_id in [known for known in self.replicas if known not in routes]:
            self._let_go(session_id)
        for session_id, route in routes.items():
            replica = self.replicas.get(session_id)
            if replica is None:
                numbers = self._book.replica(self.key, self.name, str(route.revision_id), str(session_id))
                replica = self.replicas[session_id] = self._make(route, numbers)
            else:
                replica.update(route)
            if session_id in slots:
                replica.on_board(slots[session_id])
        self._able = [replica for replica in self.replicas.values() if serves(replica.route)]
        self._passed.keep_only({replica.key for replica in self.replicas.values()})
        self.picker.update(table.balance, self._able, now_s)
        self._plain = self.picker.draws
        self._most = table.limits.max_in_flight_per_replica
        self.first_byte_timeout_s, self.max_body_bytes = table.limits.first_byte_timeout_s, table.limits.max_body_bytes
        self.pump()

    def _let_go(self, session_id: SessionId) -> None:
        """The table does not name it any more. What is open on it goes on for as long as the replica lives."""
        replica = self.replicas.pop(session_id)
        if replica.drain is None:
            replica.drain = Drain(len(replica.open))
        replica.left = True
        replica.close_idle()
        self._gone(replica, self._now())
        self._notify()

    def end(self) -> None:
        """The service is gone: who waits for it, or still comes to it, is told."""
        self.table = self.table.model_copy(update={"removed": True})
        self._able = []
        for session_id in list(self.replicas):
            self._let_go(session_id)
        self.pump()

    # --- choosing

    def choose(self, exchange: Attempts, *, found_room: bool = False) -> Replica | Refusal:
        """Return the replica for one request, or why there is none now. `found_room`: it was there a moment ago, and may be passed
        by this one request if another worker was faster."""
        usable = self._able
        if self._plain and usable and not self._passed.troubled and not exchange.tried:
            drawn = self._draw()
            if self._most is None or drawn.in_flight < self._most:
                return drawn
        if exchange.tried or self._passed.troubled:
            usable = self._passable(exchange.tried)
        if not usable:
            return self._none_usable(exchange)
        limit = self._most
        if limit is not None:
            free = [replica for replica in usable if replica.in_flight < limit]
            if not (free or found_room):
                return replicas_full(len(usable), limit)
            usable = free or usable
        return self.picker.pick(usable, exchange.key)

    def _draw(self) -> Replica:
        """Return one of the replicas that the table lets serve, as `least_in_flight` does; compiled, without a look-up by name."""
        able = self._able
        if len(able) == 1:
            return able[0]
        weights = self.picker.weights
        at, other = weights.draw_two(self._chance)
        first, second = able[at], able[other]
        return second if weights.prefers_other(at, first.in_flight, other, second.in_flight) else first

    def choose_well(self, exchange: Attempts) -> Replica | None:
        """Return a replica for a request that leaves one that was taken out: one that nothing is held against and that it was not
        sent to yet, with room for it."""
        out = self.ejected() | self._passed.on_trial() | exchange.tried
        most = self._most
        well = [
            replica
            for replica in self._able
            if replica.key not in out and replica is not exchange.replica and (most is None or replica.in_flight < most)
        ]
        return self.picker.pick(well, exchange.key) if well else None

    def _none_usable(self, exchange: Attempts) -> Refusal:
        if not self._able:
            return nobody(self.table)
        return NO_OTHER if exchange.tried else unreachable(self.table, len(self._able))

    def _passable(self, tried: Container[str]) -> list[Replica]:
        # Where requests may not wait, those that could not be connected to are tried each time, if there is nobody else.
        away = self._passed.unreachable() if self.table.limits.max_queued else _NOBODY
        left, _panic = passable(self._able, self._passed.out(), away)
        trial = self._passed.on_trial()
        if trial:
            left = [r for r in left if r.key not in trial or not r.in_flight] or left
        untried = [replica for replica in left if replica.key not in tried]
        return untried or [r for r in self._able if r.key not in tried and r.key not in away]

    # --- waiting

    def first_choice(self, exchange: Attempts) -> Replica | Refusal | None:
        """Return the replica for a request that has just come, None while it waits its turn, or why it gets neither."""
        self.requests += 1
        if not self.queue.size:  # nobody overtakes those who wait
            chosen = self.choose(exchange)
            if chosen.__class__ is Replica:
                return chosen
            assert isinstance(chosen, Refusal)  # noqa: S101 - there is nothing else
            refusal = chosen
        else:
            refusal = replicas_full(len(self._able), self.table.limits.max_in_flight_per_replica)
        return self._wait(exchange, refusal)

    def wait_again(self, exchange: Attempts) -> Refusal | None:
        """Let a request wait that came to a replica and surely did not run there: until the same deadline as if it had waited from
        the beginning. Return None while it waits or has gone on, or why it may not."""
        refusal = self.choose(exchange)
        why = refusal if isinstance(refusal, Refusal) else replicas_full(len(self._able), self._most)
        if (told := self._wait(exchange, why)) is not None:
            return told
        self.pump()  # a replica may be there that it was not sent to yet
        return None

    def _wait(self, exchange: Attempts, refusal: Refusal) -> Refusal | None:
        now_s = self._now()
        if exchange.wait_until_s is None:
            exchange.wait_until_s = now_s + self.table.limits.queue_timeout_s
        if now_s >= exchange.wait_until_s or not may_wait(self.table, refusal):
            return refusal
        pushed = self.queue.push(
            exchange, caller=exchange.caller_key, share=exchange.who.share if exchange.who else 1, now_s=now_s,
            deadline_s=exchange.wait_until_s,
        )  # fmt: skip
        if pushed.pushed_out is not None:
            self._leave_queue(pushed.pushed_out).turned_away(self._full())
        if pushed.ticket is None:
            return self._full()
        exchange.ticket = pushed.ticket
        if len(self.queue) == 1:
            self._notify()
        return None

    def _full(self) -> Refusal:
        return Refusal(429, "queue-full", f"{len(self.queue)} requests wait already, which is the queue's limit", 1)

    def _leave_queue(self, ticket: Ticket[Attempts]) -> Attempts:
        exchange = ticket.item
        exchange.ticket = None
        seconds = self._now() - ticket.pushed_s
        exchange.queued_s = (exchange.queued_s or 0.0) + seconds
        self.stats.queue_seconds.observe(seconds)
        return exchange

    def pump(self) -> None:
        """Let those who wait go on, as far as there is room."""
        if not self.queue:
            return
        hopeless = nobody(self.table) if not self._able else None
        while self.queue and (self._has_room() or (hopeless and not may_wait(self.table, hopeless))):
            ticket = self.queue.pop()
            if ticket is None:
                break
            exchange = self._leave_queue(ticket)
            chosen = self.choose(exchange, found_room=True)
            if isinstance(chosen, Refusal):
                exchange.turned_away(chosen)
            else:
                exchange.go(chosen)
        if not self.queue:
            self._notify()

    def _has_room(self) -> bool:
        limit = self.table.limits.max_in_flight_per_replica
        return any(limit is None or replica.in_flight < limit for replica in self._passable(_NOBODY))

    def freed(self, replica: Replica) -> None:
        """The replica has room again."""
        if replica.drain is not None and not replica.open:
            self._notify()
        if self.queue:
            self.pump()

    def forget(self, exchange: Attempts) -> None:
        """The request has ended while it waited."""
        ticket = exchange.ticket
        if ticket is not None and self.queue.cancel(ticket):
            self._leave_queue(ticket)
            self._notify()

    def expire(self, now_s: float) -> None:
        """Turn away those whose time in the queue is over."""
        if self.queue:
            for ticket in self.queue.expired(now_s):
                exchange = self._leave_queue(ticket)
                chosen = self.choose(exchange)
                if isinstance(chosen, Refusal):
                    exchange.turned_away(chosen)
                else:  # room came in the same moment
                    exchange.go(chosen)

    @property
    def held(self) -> bool:
        """Whether requests wait although nobody serves."""
        return bool(self.queue) and not self._able

    # --- health

    def answered(self, replica: Replica, status: int) -> None:
        """A replica answered with this status."""
        if self._passed.answered(replica.key, status, self._now()):
            self._taken_out(replica)

    def failed(self, replica: Replica, failure: Failure) -> None:
        """A replica left a request unanswered. A kept connection's end tells nothing of its health."""
        trouble = _TROUBLES.get(failure.kind)
        if trouble is None or (trouble == "dropped" and failure.reused):
            return
        if self._passed.failed(replica.key, trouble, self._now()):
            self._taken_out(replica)

    def _taken_out(self, replica: Replica) -> None:
        self.stats.ejections += 1
        replica.close_idle()

    def ejected(self) -> frozenset[str]:
        """Return the replicas that are passed over."""
        return self._passed.out() if self._passed.troubled else frozenset()

    def may_retry(self) -> bool:
        """Whether the retry budget allows one more."""
        return self._budget.may_retry(self.requests, self._now())

    def due_probes(self) -> list[Replica]:
        """Return the replicas to try a connect to."""
        if not self._passed.troubled:
            return []
        due = set(self._passed.due(self._now(), awaited=bool(self.queue)))
        return [replica for replica in self.replicas.values() if replica.key in due]

    def probed(self, replica: Replica, *, well: bool) -> None:
        """Note how that went."""
        now_s = self._now()
        self._passed.probed(replica.key, now_s, well=well)
        if well:
            self.picker.returned(replica, now_s)
            self.pump()

    def mind(self, now_s: float, keep_s: float) -> None:
        """Close connections that are idle for longer than `keep_s`, end drains whose grace is over, and let fresh replicas grow;
        move requests away from replicas that were taken out."""
        self._budget.mind(self.requests, now_s)
        for replica in self.replicas.values():
            replica.close_idle(now_s - keep_s)
            replica.cut_late(now_s)
        self._move_on()
        self.picker.age(self._able, now_s)

    def _move_on(self) -> None:
        """Send what may move elsewhere from the replicas that are passed over or unhealthy."""
        ill = self._passed.ailing() if self._passed.troubled else _NOBODY
        for replica in self.replicas.values():
            if replica.open and (replica.route.health == "unhealthy" or replica.key in ill):
                replica.move_open()
