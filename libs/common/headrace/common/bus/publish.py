"""Publishing: last values (acknowledged by the stream), plain messages, requests."""

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
    """Store `message` as its subject's last value and return its sequence number in the stream. `encoded`: its bytes,
    if known.

    Raises BusUnavailable if the stream did not acknowledge; it may have stored the message all the same.
    """
    _must_be_connected(bus)
    subject, data = message.address(), message.encode() if encoded is None else encoded
    try:
        sequence = _sequence((await bus.client.request(subject, data, timeout=timeout_s)).data)
    except (NatsError, ValueError, TimeoutError, OSError) as error:
        raise BusUnavailable(f"{subject} was not acknowledged: {str(error) or type(error).__name__}") from error
    BUS_MESSAGES.labels(type(message).__name__, "out").inc()
    return sequence


def _sequence(answer: bytes) -> int:
    """Return the sequence number in a stream's acknowledgement. Raises ValueError with the stream's error."""
    stored = json.loads(answer)
    sequence = stored.get("seq") if isinstance(stored, dict) and "error" not in stored else None
    if not isinstance(sequence, int):
        raise ValueError(answer.decode(errors="replace")[:200])
    return sequence


async def publish(bus: Bus, message: Message) -> bool:
    """Publish `message` to the current subscribers; returns False, without sending, while there is no connection: a
    newer message follows.
    """
    if not bus.connected:
        return False
    try:
        await bus.client.publish(message.address(), message.encode())
    except (NatsError, OSError):
        return False
    BUS_MESSAGES.labels(type(message).__name__, "out").inc()
    return True


async def ask(bus: Bus, message: Message, reply: type[R], *, timeout_s: float = 5.0, subject: str | None = None) -> R:
    """Send a request and return the reply. Raises BusUnavailable if none comes in time, MalformedMessage for an invalid
    one.
    """
    _must_be_connected(bus)
    try:
        answer = await bus.client.request(subject or message.address(), message.encode(), timeout=timeout_s)
    except (NatsError, TimeoutError, OSError) as error:
        raise BusUnavailable(
            f"no answer on {subject or message.address()}: {str(error) or type(error).__name__}"
        ) from error
    return reply.decode(answer.data)


def _must_be_connected(bus: Bus) -> None:
    """Raise BusUnavailable unless connected: the client would buffer the message and send it when it may be stale."""
    if not bus.connected:
        raise BusUnavailable("not connected to NATS")
