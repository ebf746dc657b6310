"""Live events: what changes, as it does.

A lost connection is made again, and the stream goes on after the last event.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, TypeAlias

from pydantic import BaseModel, ValidationError

from headrace.common.contracts.http.live_events import LiveChange, LiveEnd, LiveReady, LiveReset
from headrace.sdk.errors import AnswerLostError, ApiError, UnexpectedAnswerError, UnreachableError
from headrace.sdk.reconnecting import MAY_RECOVER, Reconnect
from headrace.sdk.transport import Transport

Event: TypeAlias = LiveChange | LiveReset | LiveReady
SILENCE_S: Final = 40.0
"""A stream that is silent for so long is lost: `alive` comes every 15 s."""
_LINE_BYTES: Final = 64 * 1024
_MODELS: Final[dict[str, type[BaseModel]]] = {
    "change": LiveChange,
    "ready": LiveReady,
    "reset": LiveReset,
    "end": LiveEnd,
}


class Events:
    """Client of `/v1/events`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def follow(
        self,
        *,
        project: str | None = None,
        since: str | None = None,
        follow: bool = True,
        on_notice: Callable[[str], None] | None = None,
    ) -> EventStream:
        """Return an iterator over what changes, in one project or in all that one may see.

        `since`: `last_id` of an earlier stream, to be told first what came after it. Without `follow` it ends where nothing was
        missed any more. `on_notice` is called with messages about lost connections.
        """
        return EventStream(self._transport, project, since, follow=follow, on_notice=on_notice)


class EventStream(AbstractContextManager["EventStream"], Iterator[Event]):
    """Iterator over live events: LiveChange, LiveReset (changes may have been missed: read everything again) and LiveReady (all
    that was missed has been told). The request is sent when the first one is read.

    A lost connection is made again, for RECONNECT_S at most. close() it (or use it as a context manager) if it is not read to
    the end. Raises UnreachableError or AnswerLostError if the stream breaks for good, ApiError where one may not read it any more.
    """

    def __init__(
        self,
        transport: Transport,
        project: str | None,
        since: str | None,
        *,
        follow: bool,
        on_notice: Callable[[str], None] | None,
    ) -> None:
        self.last_id = since
        """Id of the last event that was read, to go on from."""
        self._query = {"project": project, "follow": None if follow else False}
        self._follow = follow
        self._events = self._read(transport, Reconnect(transport, on_notice or _ignore, "the stream"))

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Close the stream; the server stops telling."""
        self._events.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, transport: Transport, losses: Reconnect) -> Generator[Event, None, None]:
        while True:
            try:
                yield from self._once(transport, losses)
                if not self._follow:
                    return
                losses.lost(AnswerLostError("the server ended the stream"))
            except (UnreachableError, AnswerLostError) as error:
                if not losses.ever:
                    raise
                losses.lost(error)
            except ApiError as error:
                if not losses.ever or error.status not in MAY_RECOVER:
                    raise
                losses.lost(error)

    def _once(self, transport: Transport, losses: Reconnect) -> Generator[Event, None, None]:
        patience_s = 0.0 if losses.ever else None
        query = {**self._query, "since": self.last_id}
        with transport.stream("/v1/events", query=query, silence_s=SILENCE_S, patience_s=patience_s) as answer:
            losses.opened(answer)
            for fields in _blocks(answer.iter_bytes()):
                self.last_id = fields.get("id", self.last_id)
                event = _event(fields)
                if isinstance(event, LiveEnd):
                    raise AnswerLostError(event.detail)
                if event is not None:
                    yield event


def _event(fields: dict[str, str]) -> Event | LiveEnd | None:
    """Return the event; None for `alive`, and for a kind of a later version."""
    model = _MODELS.get(fields.get("event", ""))
    if model is None:
        return None
    try:
        event = model.model_validate(json.loads(fields.get("data", "")))
    except (ValidationError, ValueError):
        raise UnexpectedAnswerError(
            f"/v1/events: not an event {fields['event']}: {fields.get('data', '')[:200]}"
        ) from None
    assert isinstance(event, LiveChange | LiveReset | LiveReady | LiveEnd)  # noqa: S101 - _MODELS has no others
    return event


def _blocks(chunks: Iterable[bytes]) -> Iterator[dict[str, str]]:
    """Yield the fields of each block of a stream of server-sent events (WHATWG HTML, 9.2.6); ours have a line of each."""
    fields: dict[str, str] = {}
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LINE_BYTES:
            raise UnexpectedAnswerError(f"/v1/events: a line is longer than {_LINE_BYTES} bytes")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            if not text:
                yield fields
                fields = {}
                continue
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")


def _ignore(_: str) -> None:
    """Ignore a message."""
