"""Whatever callers, replicas, tables and the clock do, and in whatever order: requests keep to their states, and nothing is left."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from headrace.appproxy.dataplane.request.states import State
from headrace.common.contracts.messages.routes import Balance, Limits, RouteTable
from headrace.common.contracts.reasons.proxy import ProxyReason
from tests.support.effort import examples
from tests.support.factories.route_tables import route, table
from tests.unit.appproxy.request.memory import MemoryPlane, Wire

REQUESTS = {
    "get": b"GET /chat/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "last": b"GET /chat/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "post": b"POST /chat/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "begun": b"POST /chat/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello",
    "asks": b"PUT /chat/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "chunked": b"PUT /chat/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "bad": b"PUT /chat/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
    "socket": b"GET /chat/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "user": b'POST /sticky/x HTTP/1.1\r\nHost: h\r\nContent-Length: 14\r\n\r\n{"user": ',
    "fleet": b'POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 23\r\n\r\n{"model": ',
    "nobody": b"GET /none/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "preflight": b"OPTIONS /none/x HTTP/1.1\r\nHost: h\r\n\r\n",
    "malformed": b"GET\r\n\r\n",
}
MORE = {
    "body": b"hello",
    "chunk": b"5\r\nhello\r\n",
    "last chunk": b"0\r\n\r\n",
    "user": b'"x"}\n\n',
    "model": b'"tests/chat"}',
    "head": b"GET /chat/y HTTP/1.1\r\nHost: h\r\n\r\n",
}
RESPONSES = {
    "whole": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "begun": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok",
    "stream": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nok",
    "half a head": b"HTTP/1.1 200 OK\r\n",
    "interim": b"HTTP/1.1 102 Processing\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno",
    "busy, begun": b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\nno",
    "event": b"9\r\ndata: 1\n\n\r\n",
    "the end": b"0\r\n\r\n",
    "two bytes": b"ok",
    "no http": b"\x00\xff\r\n\r\n",
}
TROUBLE = ("leaves", "is full", "takes again", "waits too long")
OF_REPLICAS = ("closes", "resets", "is full", "takes again")
CUTS = (ProxyReason.REVOKED_TOKEN, ProxyReason.REPLICA_STOPPED, ProxyReason.SHUTTING_DOWN)
TABLES = ((), (True,), (False,), (True, True), (True, False), (False, True), (False, False))
"""Which replicas the next table has, and whether they are healthy."""
STEPS = [
    *[("comes", kind) for kind in REQUESTS] * 2,
    *[("comes", kind) for kind in ("get", "post", "socket", "user", "fleet")] * 3,
    *[("more", kind) for kind in MORE] * 3,
    *[("connects", kind) for kind in ("well", "well", "well", "not")] * 6,
    *[("sends", kind) for kind in RESPONSES] * 5,
    *[("caller", what) for what in TROUBLE] * 2,
    *[("replica", what) for what in OF_REPLICAS] * 2,
    *[("table", which) for which in range(len(TABLES))],
    *[("time", what) for what in ("sweep", "queue")] * 3,
    *[("cut", why) for why in CUTS],
]
"""What may happen, as often as it stands here."""


class SmallDataPlane:
    """Two services on two replicas and one, of which each takes one or two requests at once; three may wait for each service."""

    def __init__(self, folder: Path, *, at_once: int) -> None:
        limits = Limits(max_in_flight_per_replica=at_once, max_queued=3)
        self.routes = (route(1, port=1001), route(2, port=1002))
        self.table = table("chat", routes=self.routes, limits=limits)
        by_user = Balance(policy="session", session_key="body:user")
        sticky = table("sticky", routes=(route(3, port=1003),), limits=limits, balance=by_user)
        self.memory = MemoryPlane(folder, [self.table, sticky])
        self.plane = self.memory.plane
        self.callers: list[Wire] = []
        self.seen: set[State] = set()
        self.known: dict[int, Any] = {}

    def step(self, what: str, kind: Any, which: int) -> None:
        """Let this happen to one of those that it can happen to."""
        do = self.memory.do
        caller = self.callers[which % len(self.callers)] if self.callers else None
        replicas = self.memory.upstream
        replica = replicas[which % len(replicas)] if replicas else None
        if what == "comes":
            if len(self.callers) == 8:
                do(lambda: self.callers.pop(0).lose(None))
            new = self.memory.connect()
            self.callers.append(new)
            do(lambda: new.receive(REQUESTS[kind]))
        elif what == "more" and caller is not None:
            do(lambda: caller.receive(MORE[kind]))
        elif what == "connects" and self.memory.loop.connecting:
            self.memory.connected(well=kind == "well")
        elif what == "sends" and replica is not None:
            do(lambda: replica.receive(RESPONSES[kind]))
        elif what == "caller" and caller is not None and not caller.closed:
            self._trouble(caller, kind)
        elif what == "replica" and replica is not None and not replica.closed:
            self._trouble(replica, kind)
        elif what == "table":
            do(lambda: self._apply(TABLES[kind]))
        elif what == "time":
            do(self._sweep if kind == "sweep" else self._end_waits)
        elif what == "cut" and self.plane.requests.open:
            ones = sorted(self.plane.requests.open, key=lambda one: one.record.request_id)
            do(lambda: ones[which % len(ones)].cut(kind))

    def _trouble(self, wire: Wire, what: str) -> None:
        if what in ("leaves", "closes", "resets"):
            self.memory.do(lambda: wire.lose(ConnectionResetError() if what == "resets" else None))
        elif what == "waits too long":
            self.memory.do(wire.protocol.expired)
        else:
            self.memory.do(wire.protocol.pause_writing if what == "is full" else wire.protocol.resume_writing)

    def _apply(self, healths: tuple[bool, ...]) -> None:
        routes = [
            one.model_copy(update={"health": "healthy" if well else "unhealthy"})
            for one, well in zip(self.routes, healths, strict=False)
        ]
        self.table = RouteTable.model_validate(
            self.table.model_dump() | {"routes": routes, "generation": self.table.generation + 1}
        )
        assert self.plane.apply(self.table, {})

    def _sweep(self) -> None:
        for backend in self.plane.backends:
            backend.sweep(self.plane.context.now(), 4.0)
        self.plane.backends.sweep(self.plane.context.now())

    def _end_waits(self) -> None:
        for backend in self.plane.backends:
            backend.expire_queued(self.plane.context.now() + 3600)

    # --- what holds

    def check(self) -> None:
        """No step is outside the table, no error is lost, and what is held is what the states say."""
        assert self.plane.context.stats.illegal_transitions == {}
        assert self.memory.mistakes == []
        for one in self.plane.requests.open:
            self.seen.add(one.state)
            on_replica = one.state in (State.CONNECT, State.AWAIT_HEAD, State.STREAM, State.TUNNEL)
            assert (one.replica is not None) is (one.attempt is not None) is on_replica
            assert (one.connecting is not None) is (one.state is State.CONNECT)
            assert (one.connection is not None) is (one.state > State.CONNECT)
            assert (one.active_response is not None) is (one.state in (State.STREAM, State.TUNNEL))
            assert (one.waiter is not None and one.waiter.ticket is not None) is (one.state is State.QUEUED)
            assert (one.inspect_body is not None) is (one.state is State.INSPECT_BODY)
            assert one.state not in (State.ARRIVED, State.DONE)
            assert one.downstream.exchange is one
        held = [one.attempt for one in self.plane.requests.open if one.attempt is not None]
        assert sorted(map(id, held)) == sorted(id(one) for replica in self.replicas() for one in replica.open)
        waiting = sum(one.state is State.QUEUED for one in self.plane.requests.open)
        assert waiting == sum(len(backend.queue) for backend in self.plane.backends)

    def replicas(self) -> list[Any]:
        """All that there have been: those in the tables, and those that left them, also for others of the same session."""
        live = [replica for backend in self.plane.backends for replica in backend.replicas.values()]
        left = [replica for replica, _ in self.plane.backends.retired.values()]
        self.known |= {id(replica): replica for replica in live + left}
        return list(self.known.values())

    def end(self) -> None:
        """Every caller leaves: nothing may be left."""
        for caller in self.callers:
            self.memory.do(lambda caller=caller: caller.lose(None))  # type: ignore[misc]
        while self.memory.loop.connecting:
            self.memory.connected(well=False)
        self.check()
        assert not self.plane.requests.open
        assert not any(replica.open for replica in self.replicas())
        assert self.plane.context.held_bodies.size == 0
        self.memory.close()
        gc.collect()  # an error that nobody took is told of here, and not in another test
        assert self.memory.mistakes == []


def walk(steps: list[tuple[tuple[str, Any], int]], *, at_once: int) -> set[State]:
    """Take these steps, and return the states in which requests waited."""
    with tempfile.TemporaryDirectory() as folder:
        world = SmallDataPlane(Path(folder), at_once=at_once)
        for (what, kind), which in steps:
            world.step(what, kind, which)
            world.check()
        world.end()
        return world.seen


@settings(max_examples=examples(150))
@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), min_size=10, max_size=60),
    at_once=st.sampled_from([1, 2]),
)
def test_requests_keep_to_their_states_and_nothing_is_left(
    steps: list[tuple[tuple[str, Any], int]], at_once: int
) -> None:
    for state in walk(steps, at_once=at_once):
        event(state.name)


def test_walks_come_through_every_state_in_which_a_request_waits_without_a_shared_store() -> None:
    """What random steps may miss in few examples, in order: so that the checks above are known to see each state."""
    steps = [
        (("comes", "user"), 0),
        (("comes", "socket"), 0),
        (("connects", "well"), 0),
        (("sends", "switching"), 0),
        (("comes", "get"), 0),
        (("connects", "well"), 0),
        (("sends", "stream"), 1),
        (("comes", "get"), 0),
    ]
    assert walk(steps, at_once=1) == set(State) - {State.ARRIVED, State.RESERVE, State.DONE}
