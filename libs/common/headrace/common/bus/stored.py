"""Paged reading of a last-value stream, whatever the number of its subjects.

A page is a Direct Get from a sequence number on (NATS 2.11: `seq`, `next_by_subj`, `batch`). A stream that keeps one
message per subject moves a subject to its end when its value changes, so a value that is replaced between two pages
comes with a later one, and none is missed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.bus.subjects import direct_get, stream_of
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.problems import BusUnavailable

PAGE = 256
"""Messages per page."""
PAGE_BYTES = 16 * 1024 * 1024
"""A page ends with the message that exceeds this."""
_PENDING_BYTES = 64 * 1024 * 1024
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StoredValue:
    """Message stored in a stream."""

    subject: str
    sequence: int
    data: bytes

    def generation(self) -> int:
        """Return the message's generation, 0 if it has none or is malformed."""
        try:
            said = json.loads(self.data)["generation"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return 0
        return said if isinstance(said, int) else 0


async def stored_values(bus: Bus, stream: str, subject: str, *, start: int = 1) -> AsyncIterator[list[StoredValue]]:
    """Yield pages of the last values of every matching subject, oldest first, from sequence number `start` on.

    Nothing for an empty or missing stream. Raises BusUnavailable.
    """
    page, more = await _page(bus, stream, subject, start)
    while page:
        yield page
        if not more:
            return
        page, more = await _page(bus, stream, subject, page[-1].sequence + 1)


async def stored_value(bus: Bus, stream: str, subject: str) -> StoredValue | None:
    """Return the last value of one subject, or None. Raises BusUnavailable."""
    try:
        message = await bus.client.request(direct_get(stream, subject), b"", timeout=_TIMEOUT_S)
    except (NatsError, TimeoutError, OSError) as error:
        raise BusUnavailable(f"direct get: {str(error) or type(error).__name__}") from error
    return None if _status(message) else _value(message)


async def stored_generations(bus: Bus, kind: type[Message]) -> dict[str, int]:
    """Return subject → generation of all last values of this kind in the stream. Raises BusUnavailable.

    A malformed stored message counts as generation 0.
    """
    pages = stored_values(bus, stream_of(kind), kind.wildcard())
    return {value.subject: value.generation() async for page in pages for value in page}


async def _page(bus: Bus, stream: str, subject: str, start: int) -> tuple[list[StoredValue], bool]:
    """Return one page, and True if there may be more."""
    inbox = bus.client.new_inbox()
    ask = {"seq": start, "next_by_subj": subject, "batch": PAGE, "max_bytes": PAGE_BYTES}
    page: list[StoredValue] = []
    try:
        subscription = await bus.client.subscribe(inbox, pending_bytes_limit=_PENDING_BYTES)
        try:
            await bus.client.publish(direct_get(stream), json.dumps(ask).encode(), reply=inbox)
            while True:
                message = await subscription.next_msg(timeout=_TIMEOUT_S)
                if status := _status(message):
                    return page, _more(message, status)
                page.append(_value(message))
        finally:
            with suppress(NatsError, OSError):  # the connection may be gone, and the subscription with it
                await subscription.unsubscribe()
    except (NatsError, TimeoutError, OSError) as error:
        raise BusUnavailable(f"direct get: {str(error) or type(error).__name__}") from error


def _more(end: Msg, status: str) -> bool:
    """Interpret the message that ends a page. 404: the stream is empty. 204: end of the page, with the number of
    messages left. Else BusUnavailable.
    """
    if status == "404":
        return False
    if status != "204":
        raise BusUnavailable(f"direct get answered {status}")
    return int((end.headers or {}).get("Nats-Num-Pending", 0)) > 0


def _status(message: Msg) -> str | None:
    return (message.headers or {}).get("Status")


def _value(message: Msg) -> StoredValue:
    """Return the message under its stored subject (a Direct Get replies on the inbox)."""
    headers = message.headers or {}
    return StoredValue(headers.get("Nats-Subject", message.subject), int(headers.get("Nats-Sequence", 0)), message.data)
