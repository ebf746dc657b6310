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
    State.ARRIVED: "its head is parsed: service, caller and limits are checked at once",
    State.INSPECT_BODY: "waits for the part of the body that routing needs: the model, a session key, a prompt, the token limit",
    State.RESERVE: "waits for the store of the shared rate limits (Redis)",
    State.QUEUED: "waits in the service's queue for a replica",
    State.CONNECT: "has a replica, and waits for a connection to it",
    State.AWAIT_HEAD: "is sent, or being sent; no response head was received",
    State.STREAM: "the response's head was sent: content is relayed as it arrives",
    State.TUNNEL: "a WebSocket: bytes are relayed both ways",
    State.DONE: "ended: everything is released",
}
"""Meaning of each state."""

_FAULT: Final = "a transition that is not in this table, a bug of the proxy: the connection is closed"
_LEFT: Final = "the caller's connection was closed"

TRANSITIONS: Final[Mapping[State, Mapping[Event, tuple[State, str]]]] = {
    State.ARRIVED: {
        Event.BODY_WANTED: (State.INSPECT_BODY, "routing needs more of the body than was received"),
        Event.STORE_ASKED: (State.RESERVE, "the caller has rate limits, and they are shared"),
        Event.NO_REPLICA_FREE: (State.QUEUED, "every replica is at its limit of requests, or none serves yet"),
        Event.REPLICA_CHOSEN: (State.CONNECT, "the load balancer chose a replica"),
        Event.REPLIED: (
            State.DONE,
            "a refusal, or something that needs no replica: a preflight request, the list of models",
        ),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.INSPECT_BODY: {
        Event.BODY_WANTED: (State.INSPECT_BODY, "the model is known, and its service needs more of the body"),
        Event.STORE_ASKED: (State.RESERVE, "the caller has rate limits, and they are shared"),
        Event.NO_REPLICA_FREE: (State.QUEUED, "every replica is at its limit of requests, or none serves yet"),
        Event.REPLICA_CHOSEN: (State.CONNECT, "the load balancer chose a replica"),
        Event.REPLIED: (State.DONE, "a refusal, or the body stalls, or lacks what routing needs"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.RESERVE: {
        Event.NO_REPLICA_FREE: (State.QUEUED, "the limits allow it, and no replica is free"),
        Event.REPLICA_CHOSEN: (State.CONNECT, "the limits allow it, and the load balancer chose a replica"),
        Event.REPLIED: (State.DONE, "the limits do not allow it, or a refusal"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.QUEUED: {
        Event.REPLICA_CHOSEN: (State.CONNECT, "a replica has room, and it is next"),
        Event.REPLIED: (
            State.DONE,
            "it timed out in the queue, was evicted, or waiting cannot help",
        ),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.CONNECT: {
        Event.CONNECTED: (State.AWAIT_HEAD, "a kept-alive or new connection is there: head and body are sent on it"),
        Event.RETRIED: (State.CONNECT, "no connection, or the replica was ejected: another replica is tried"),
        Event.NO_REPLICA_FREE: (State.QUEUED, "no connection, and no other replica: it is queued as if it were new"),
        Event.REPLIED: (State.DONE, "no connection and nothing left to try, or it was cut"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.AWAIT_HEAD: {
        Event.HEAD_RECEIVED: (State.STREAM, "the response's head was received, without all of its content"),
        Event.SWITCHED: (State.TUNNEL, "101: the replica accepted the WebSocket"),
        Event.RETRIED: (State.CONNECT, "the attempt failed and may be retried, or the replica was ejected"),
        Event.ANSWERED: (State.DONE, "the response arrived complete, and was sent"),
        Event.REPLIED: (State.DONE, "the replica did not respond, the body stalled, or it was cut"),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
    },
    State.STREAM: {
        Event.ANSWERED: (State.DONE, "the response is complete"),
        Event.ABORTED: (
            State.DONE,
            "the response was interrupted: by the replica, a time-out, or a cut",
        ),
        Event.CALLER_LEFT: (State.DONE, _LEFT),
        Event.FAULT: (State.DONE, _FAULT),
    },
    State.TUNNEL: {
        Event.ANSWERED: (State.DONE, "the replica closed it"),
        Event.ABORTED: (State.DONE, "idle time-out, or it was cut"),
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
