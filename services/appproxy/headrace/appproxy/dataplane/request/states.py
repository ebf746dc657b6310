"""State machine of one proxied request: states, events and transitions.

One table for code, tests and docs/data-plane.md, whose diagram is generated from it. Only `Exchange.advance` changes
the state of a request, and refuses transitions that are not in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class State(IntEnum):
    """State of a request, in the order in which it passes them; a response has begun from STREAM on."""

    ARRIVED = 0
    INSPECT_BODY = 1
    RESERVE = 2
    QUEUED = 3
    CONNECT = 4
    AWAIT_HEAD = 5
    STREAM = 6
    TUNNEL = 7
    DONE = 8


class Event(IntEnum):
    """Event that moves a request from one state to another.

    REPLIED: a local reply was sent, also one for a bug of the proxy.
    """

    BODY_WANTED = 0
    STORE_ASKED = 1
    NO_REPLICA_FREE = 2
    REPLICA_CHOSEN = 3
    CONNECTED = 4
    RETRIED = 5
    HEAD_RECEIVED = 6
    SWITCHED = 7
    ANSWERED = 8
    REPLIED = 9
    ABORTED = 10
    CALLER_LEFT = 11
    FAULT = 12


MEANING: Final[Mapping[State, str]] = {
    State.ARRIVED: "its head is read: service, caller and limits are judged at once",
    State.INSPECT_BODY: "waits for the part of the body that decides: the model, a session's key, a prompt, the most tokens",
    State.RESERVE: "waits for the store that app-proxies share the callers' limits in",
    State.QUEUED: "waits in the service's queue for a replica",
    State.CONNECT: "is on a replica, and waits for a connection to it",
    State.AWAIT_HEAD: "is sent, or being sent, on a connection; nothing of a response has come that passes",
    State.STREAM: "the response's head has passed: content passes as it comes",
    State.TUNNEL: "a WebSocket: bytes pass both ways",
    State.DONE: "ended: nothing is held any more",
}
"""Meaning of each state."""

_FAULT: Final = "a transition that is not in this table, a mistake of the proxy's own: the connection ends"
_LEFT: Final = "the caller's connection is gone"

TRANSITIONS: Final[Mapping[State, Mapping[Event, tuple[State, str]]]] = {
    State.ARRIVED: {
        Event.BODY_WANTED: (State.INSPECT_BODY, "what came of the body does not tell yet what has to be known of it"),
        Event.STORE_ASKED: (State.RESERVE, "the caller has limits, and they are kept in the shared store"),
        Event.NO_REPLICA_FREE: (State.QUEUED, "every replica has its limit of requests, or none serves yet"),
        Event.REPLICA_CHOSEN: (State.CONNECT, "the load balancer chose a replica"),
        Event.REPLIED: (
            State.DONE,
            "a refusal, or something that needs no replica: a preflight request, the list of models",
        ),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.INSPECT_BODY: {
        Event.BODY_WANTED: (State.INSPECT_BODY, "the model is known, and its service wants to see more of the body"),
        Event.STORE_ASKED: (State.RESERVE, "the caller has limits, and they are kept in the shared store"),
        Event.NO_REPLICA_FREE: (State.QUEUED, "every replica has its limit of requests, or none serves yet"),
        Event.REPLICA_CHOSEN: (State.CONNECT, "the load balancer chose a replica"),
        Event.REPLIED: (State.DONE, "a refusal, or the body does not come, or does not tell"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.RESERVE: {
        Event.NO_REPLICA_FREE: (State.QUEUED, "the limits allow it, and no replica is free"),
        Event.REPLICA_CHOSEN: (State.CONNECT, "the limits allow it, and the load balancer chose a replica"),
        Event.REPLIED: (State.DONE, "the limits do not allow it, or a refusal"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.QUEUED: {
        Event.REPLICA_CHOSEN: (State.CONNECT, "its turn came"),
        Event.REPLIED: (
            State.DONE,
            "its time in the queue is over, it was pushed out, or waiting is no use",
        ),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.CONNECT: {
        Event.CONNECTED: (State.AWAIT_HEAD, "a kept or a fresh connection is there: head and body go out on it"),
        Event.RETRIED: (State.CONNECT, "no connection, or the replica was taken out: another replica is tried"),
        Event.NO_REPLICA_FREE: (State.QUEUED, "no connection, and no other replica: it waits as if it had just come"),
        Event.REPLIED: (State.DONE, "no connection and nothing left to try, or it was cut"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.AWAIT_HEAD: {
        Event.HEAD_RECEIVED: (State.STREAM, "the response's head came, and content is still to come"),
        Event.SWITCHED: (State.TUNNEL, "101: the replica accepted the WebSocket"),
        Event.RETRIED: (State.CONNECT, "the attempt failed and may be repeated, or the replica was taken out"),
        Event.ANSWERED: (State.DONE, "the response came in one piece, and passed"),
        Event.REPLIED: (State.DONE, "the replica did not answer, the body did not come, or it was cut"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.STREAM: {
        Event.ANSWERED: (State.DONE, "the response is whole"),
        Event.ABORTED: (
            State.DONE,
            "the response cannot be finished: the replica or a timeout ended it, or it was cut",
        ),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
        Event.FAULT: (State.DONE, _FAULT),
    },
    State.TUNNEL: {
        Event.ANSWERED: (State.DONE, "the replica ended it"),
        Event.ABORTED: (State.DONE, "neither side said anything for too long, or it was cut"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
        Event.FAULT: (State.DONE, _FAULT),
    },
    State.DONE: {},
}
"""From a state to the next ones: by which event, and when it happens."""

EVENTS: Final = 13
"""Number of events."""
FOLLOWING: Final[tuple[State | None, ...]] = tuple(
    TRANSITIONS[state][event][0] if event in TRANSITIONS[state] else None for state in State for event in Event
)
"""Next state at `state * EVENTS + event`; None if the event is illegal in that state."""


class IllegalTransitionError(Exception):
    """An event that the state's row of the table does not have: a bug of the proxy. The request has been ended when it
    is raised.
    """

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.name} may not happen in state {state.name}")
        self.state = state
        self.event = event
