"""Weighted fair queue of requests across callers, bounded in all, with a deadline each.

Self-clocked fair queueing (Golestani 1994): virtual time is the finish time of what went last; a caller that begins to wait
gets the finish time `now + 1/share`, and each time it goes, the next one after that; the least goes first. Virtual time never
passes a waiting caller's finish time, so whoever stopped waiting starts again from now: no credit for the past, and nothing to
remember about callers that do not wait. Finish times belong to callers, not to requests: one that gives up costs nobody anything.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import heapify, heappop, heappush
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_SLACK = 64
"""Entries that a lazily cleaned list may hold beyond twice the live ones: cleaning costs O(1) a push, memory stays
bounded."""


class Ticket(Generic[T]):
    """Handle of one queued item. `pushed_s` and `deadline_s` are on the clock of the queue's user."""

    __slots__ = ("_flow", "caller", "deadline_s", "item", "pushed_s")

    def __init__(self, item: T, caller: str, pushed_s: float, deadline_s: float, flow: _Flow[T]) -> None:
        self.item = item
        self.caller = caller
        self.pushed_s = pushed_s
        self.deadline_s = deadline_s
        self._flow: _Flow[T] | None = flow

    @property
    def waiting(self) -> bool:
        """True while the item is queued: not dispatched, cancelled, expired or evicted."""
        return self._flow is not None


class PushResult(NamedTuple, Generic[T]):
    """Result of a push. `ticket` is None if the queue had no room; `evicted` is the evicted item, which is to be
    refused.
    """

    ticket: Ticket[T] | None
    evicted: Ticket[T] | None


class _Flow(Generic[T]):
    """Queue of one caller's items in their order. `finish` is the virtual finish time of the first one; `turn` breaks
    ties.
    """

    __slots__ = ("caller", "finish", "share", "tickets", "turn")

    def __init__(self, caller: str, share: int, finish: float, turn: int) -> None:
        self.caller = caller
        self.share = share
        self.finish = finish
        self.turn = turn
        self.tickets: OrderedDict[Ticket[T], None] = OrderedDict()


class FairQueue(Generic[T]):
    """Weighted fair queue across callers, for one service in one worker. Push and pop are O(log n), cancel O(1),
    amortised.

    Bounds: at most `max_queued` items in all, and one caller alone may hold all of them. Once the queue is full, a push
    succeeds only by evicting the newest item of the caller that holds most relative to its share, only if that caller
    would still hold more per share than the pushing caller with its new item (so two callers never evict each other in
    turns), and only if it holds at least two (a caller's only item is never evicted). So a flood gets its fair share of
    the queue and no more, while a caller below its share gets in as long as another one is above its own; the newest
    item is evicted since it has waited least.

    Shares are ≥ 1; a caller's latest share counts, from its next turn on. The clock is the user's and monotonic.
    """

    def __init__(self, max_queued: int) -> None:
        self.max_queued = max_queued
        """May be changed at any time; items beyond a lowered bound stay queued."""
        self._flows: dict[str, _Flow[T]] = {}
        self.size = 0
        """Number of queued items."""
        self._virtual = 0.0
        self._turns = 0
        self._due: list[tuple[float, int, _Flow[T]]] = []
        self._deadlines: list[tuple[float, int, Ticket[T]]] = []
        self._arrivals: deque[Ticket[T]] = deque()
        self._fullest: list[tuple[float, int, _Flow[T]]] | None = None
        """Callers by items per share, most first; only maintained while the queue is at least half full."""

    def __len__(self) -> int:
        return self.size

    @property
    def oldest_s(self) -> float | None:
        """Time at which the oldest queued item was pushed; None if the queue is empty."""
        arrivals = self._arrivals
        while arrivals and arrivals[0]._flow is None:  # noqa: SLF001 - Ticket is this module's
            arrivals.popleft()
        return arrivals[0].pushed_s if arrivals else None

    def held_by(self, caller: str) -> int:
        """Return the number of queued items of `caller`."""
        flow = self._flows.get(caller)
        return len(flow.tickets) if flow is not None else 0

    def push(self, item: T, *, caller: str, share: int, now_s: float, deadline_s: float) -> PushResult[T]:
        """Queue `item` as the last one of `caller`; see the class for a full queue."""
        out: Ticket[T] | None = None
        if self.size >= self.max_queued:
            out = self._evict(caller, share)
            if out is None:
                return PushResult(None, None)
        self._turns += 1
        flow = self._flows.get(caller)
        if flow is None:
            flow = _Flow(caller, share, self._virtual + 1.0 / share, self._turns)
            self._flows[caller] = flow
            self._queue_flow(flow)
        flow.share = share
        ticket = Ticket(item, caller, now_s, deadline_s, flow)
        flow.tickets[ticket] = None
        self.size += 1
        self._index(ticket, flow)
        return PushResult(ticket, out)

    def pop(self) -> Ticket[T] | None:
        """Remove and return the next item, even if its deadline has passed unnoticed; None if the queue is empty."""
        due, flows = self._due, self._flows
        while due:
            finish, turn, flow = heappop(due)
            if flow.turn != turn or flows.get(flow.caller) is not flow:
                continue  # all its items were cancelled meanwhile
            ticket, _ = flow.tickets.popitem(last=False)
            ticket._flow = None  # noqa: SLF001
            self.size -= 1
            self._virtual = finish
            if flow.tickets:
                self._turns += 1
                flow.turn = self._turns
                flow.finish = finish + 1.0 / flow.share
                heappush(due, (flow.finish, flow.turn, flow))
            else:
                self._forget(flow)
            return ticket
        return None

    def cancel(self, ticket: Ticket[T]) -> bool:
        """Remove `ticket` from the queue; return False if it is not queued any more."""
        flow = ticket._flow  # noqa: SLF001
        if flow is None:
            return False
        ticket._flow = None  # noqa: SLF001
        del flow.tickets[ticket]
        self.size -= 1
        if not flow.tickets:
            self._forget(flow)
        return True

    def expired(self, now_s: float) -> list[Ticket[T]]:
        """Remove and return all items whose deadline is at or before `now_s`, earliest first; O(log n) each."""
        gone: list[Ticket[T]] = []
        deadlines = self._deadlines
        while deadlines and (deadlines[0][2]._flow is None or deadlines[0][0] <= now_s):  # noqa: SLF001
            ticket = heappop(deadlines)[2]
            if self.cancel(ticket):
                gone.append(ticket)
        return gone

    def _evict(self, caller: str, share: int) -> Ticket[T] | None:
        """Evict and return the newest item of the caller furthest above its share; None if no caller has to yield."""
        fullest = self._fullest
        if fullest is None or len(fullest) > 2 * len(self._flows) + _SLACK:
            # Rebuilt at most once per about as many pushes as there are callers.
            fullest = [(-len(flow.tickets) / flow.share, flow.turn, flow) for flow in self._flows.values()]
            heapify(fullest)
            self._fullest = fullest
        mine = (self.held_by(caller) + 1) / share
        while fullest:
            part, turn, flow = fullest[0]
            held = len(flow.tickets)
            if (
                -held / flow.share != part
            ):  # some of its items left since; entries for longer queues were added as they grew
                heappop(fullest)
                if held:
                    heappush(fullest, (-held / flow.share, turn, flow))
                continue
            if -part <= mine:
                return None
            if held < 2:
                heappop(fullest)  # its only item; the next push of this caller adds it again
                continue
            ticket = next(reversed(flow.tickets))
            self.cancel(ticket)
            return ticket
        return None

    def _queue_flow(self, flow: _Flow[T]) -> None:
        if len(self._due) > 2 * len(self._flows) + _SLACK:
            self._due = [(one.finish, one.turn, one) for one in self._flows.values() if one is not flow]
            heapify(self._due)
        heappush(self._due, (flow.finish, flow.turn, flow))

    def _forget(self, flow: _Flow[T]) -> None:
        del self._flows[flow.caller]
        if not self._flows:  # the queue is empty: restart at zero, where floats are exact
            self._virtual = 0.0
            self._due.clear()
            self._fullest = None

    def _index(self, ticket: Ticket[T], flow: _Flow[T]) -> None:
        """Add `ticket` to the indexes by deadline, age and caller, and compact those that hold too many dead entries."""
        most = 2 * self.size + _SLACK
        if len(self._deadlines) > most:
            self._deadlines = [entry for entry in self._deadlines if entry[2].waiting]
            heapify(self._deadlines)
        if len(self._arrivals) > most:
            self._arrivals = deque(one for one in self._arrivals if one.waiting)
        heappush(self._deadlines, (ticket.deadline_s, self._turns, ticket))
        self._arrivals.append(ticket)
        if self._fullest is not None:
            if 2 * self.size < self.max_queued:
                self._fullest = None
            else:
                heappush(self._fullest, (-len(flow.tickets) / flow.share, self._turns, flow))
