"""Follower of a last-value stream by sequence number: a refresh costs the number of changes, not of subjects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from headrace.common.bus.connect import Bus
from headrace.common.bus.stored import stored_values
from headrace.common.bus.subjects import stream_of
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.problems import BusUnavailable

log = structlog.get_logger()
_TIMEOUT_S = 5.0
_MAX_LOOKS = 5
"""Reads per look: with constant publishing by others a look ends with what it has."""


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """Stored message of a subject: its generation (0 if unreadable) and its sequence number in the stream."""

    generation: int
    sequence: int


class FollowedStream:
    """Generation of each subject in the stream of one kind of message, as of the last `look()`.

    After a reconnect the whole stream is read again: a server that lost power has lost its last messages, and assigns
    their sequence numbers to others.
    """

    def __init__(self, bus: Bus, kind: type[Message]) -> None:
        self._bus = bus
        self._stream = stream_of(kind)
        self._wildcard = kind.wildcard()
        self._created: datetime | None = None
        self._last = 0
        self._own: dict[int, tuple[str, int]] = {}
        self.held: dict[str, StoredGeneration] = {}
        bus.on_reconnect(self._invalidate)

    def _invalidate(self) -> None:
        self._created = None

    def wrote(self, subject: str, generation: int, sequence: int) -> None:
        """Record a message that this process published and the stream acknowledged, so that it need not be read."""
        self._own[sequence] = (subject, generation)
        self._advance()

    def _advance(self) -> None:
        while (own := self._own.pop(self._last + 1, None)) is not None:
            self._last += 1
            self.held[own[0]] = StoredGeneration(own[1], self._last)

    async def look(self) -> None:
        """Update `held` from the stream. Raises BusUnavailable."""
        for _ in range(_MAX_LOOKS):
            created, last, messages = await self._state()
            if created != self._created or last < self._last:  # another stream of that name, or one from a backup
                self._created, self._last, self.held = created, 0, {}
                self._own.clear()
            if last == self._last:
                if messages == len(self.held):
                    return
                self._last, self.held = 0, {}  # a message was deleted from it
            await self._read_on(last)

    async def _read_on(self, last: int) -> None:
        """Read the following messages, at least up to sequence number `last`, whose own message may have been deleted."""
        async for page in stored_values(self._bus, self._stream, self._wildcard, start=self._last + 1):
            for value in page:
                self.held[value.subject] = StoredGeneration(value.generation(), value.sequence)
            self._last = max(self._last, page[-1].sequence)
        self._last = max(self._last, last)
        self._own = {sequence: own for sequence, own in self._own.items() if sequence > self._last}
        self._advance()

    async def remove(self, subject: str) -> None:
        """Delete the subject's message from the stream, if it is still the one last seen. Raises BusUnavailable."""
        held = self.held.pop(subject, None)
        if held is None:
            return
        try:
            await JetStreamContext(self._bus.client, timeout=_TIMEOUT_S).delete_msg(self._stream, held.sequence)
        except APIError as error:  # newer by now, or deleted: the next look finds out
            log.info("stored_message_not_removed", subject=subject, why=str(error))
        except (NatsError, TimeoutError, OSError) as error:
            raise BusUnavailable(f"removing {subject}: {str(error) or type(error).__name__}") from error

    async def _state(self) -> tuple[datetime | None, int, int]:
        """Return creation time, last sequence number and message count of the stream; zeros if it does not exist."""
        try:
            info = await JetStreamContext(self._bus.client, timeout=_TIMEOUT_S).stream_info(self._stream)
        except NotFoundError:
            return None, 0, 0
        except (NatsError, TimeoutError, OSError) as error:
            raise BusUnavailable(f"stream {self._stream}: {str(error) or type(error).__name__}") from error
        return info.created, info.state.last_seq, info.state.messages
