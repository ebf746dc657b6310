"""Publishing: last values (acknowledged by the stream), plain messages, questions."""

from __future__ import annotations

import json
from typing import TypeVar

from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.obs.metrics import BUS_MESSAGES

R = TypeVar("R", bound=Message)


async def publish_last(bus: Bus, message: Message, *, encoded: bytes | None = None, timeout_s: float = 5.0) -> int:
    """Store `message` as its subject's last value and return its sequence number in the stream. `encoded`: its bytes, if known.

    Raises BusUnavailable when the stream did not acknowledge; it may have it all the same.
    """
    _must_be_connected(bus)
    subject, data = message.address(), message.encode() if encoded is None else encoded
    try:
        sequence = _sequence((await bus.client.request(subject, data, timeout=timeout_s)).data)
    except (NatsError, ValueError, TimeoutError, OSError) as error:
        raise BusUnavailable(f"{subject} was not acknowledged: {error or type(error).__name__}") from error
    BUS_MESSAGES.labels(type(message).__name__, "out").inc()
    return sequence


def _sequence(answer: bytes) -> int:
    """Return the sequence number of a stream's acknowledgement. Raises ValueError with what the stream said instead."""
    stored = json.loads(answer)
    sequence = stored.get("seq") if isinstance(stored, dict) and "error" not in stored else None
    if not isinstance(sequence, int):
        raise ValueError(answer.decode(errors="replace")[:200])
    return sequence


async def publish(bus: Bus, message: Message) -> bool:
    """Send `message` to whoever listens now; it is dropped (False) while there is no connection, since a newer one follows."""
    if not bus.connected:
        return False
    try:
        await bus.client.publish(message.address(), message.encode())
    except (NatsError, OSError):
        return False
    BUS_MESSAGES.labels(type(message).__name__, "out").inc()
    return True


async def ask(bus: Bus, message: Message, reply: type[R], *, timeout_s: float = 5.0, subject: str | None = None) -> R:
    """Send a question and return the answer. Raises BusUnavailable when nobody answers in time, MalformedMessage for a bad answer."""
    _must_be_connected(bus)
    try:
        answer = await bus.client.request(subject or message.address(), message.encode(), timeout=timeout_s)
    except (NatsError, TimeoutError, OSError) as error:
        raise BusUnavailable(f"no answer on {subject or message.address()}: {error or type(error).__name__}") from error
    return reply.decode(answer.data)


def _must_be_connected(bus: Bus) -> None:
    """Fail at once: the client would keep the message and send it after the reconnect, when it may be out of date."""
    if not bus.connected:
        raise BusUnavailable("not connected to NATS")
