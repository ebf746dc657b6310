"""Log streaming.

A lost connection is made again, and the log is resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import TracebackType

from headrace.common.text.logposition import LogPosition
from headrace.sdk.connections import Response
from headrace.sdk.errors import AnswerLostError, ApiError, UnexpectedAnswerError, UnreachableError
from headrace.sdk.reconnecting import MAY_RECOVER, Reconnect
from headrace.sdk.transport import Query, Transport

_LINE_BYTES = 16 * 1024 * 1024


class LogStream(AbstractContextManager["LogStream"], Iterator[str]):
    """Iterator over log lines (without their end). The request is sent when the first line is read.

    With `follow` a lost connection is made again, for RECONNECT_S at most, and the log is resumed: no line comes twice,
    and none is left out that is still stored. `on_notice` is called with messages about it. close() it (or use it as a
    context manager) if it is not read to the end. Raises UnreachableError or AnswerLostError if the stream breaks for
    good.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        query: Query,
        *,
        follow: bool,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._lines = (
            _followed(transport, path, query, on_notice or _ignore) if follow else _lines(transport, path, query)
        )

    def __next__(self) -> str:
        return next(self._lines)

    def close(self) -> None:
        """Close the stream; the server stops following."""
        self._lines.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _followed(
    transport: Transport, path: str, query: Query, on_notice: Callable[[str], None]
) -> Generator[str, None, None]:
    position, losses = LogPosition(), Reconnect(transport, on_notice, "the log")
    asked = dict(query)
    while True:
        try:
            for line in _lines(transport, path, asked, opened=losses.opened, again=losses.ever):
                if position.takes(line):
                    yield line
        except (UnreachableError, AnswerLostError) as error:
            if not losses.ever:
                raise
            losses.lost(error)
        except ApiError as error:
            if not losses.ever or error.status not in MAY_RECOVER | {404}:
                raise
            if error.status == 404:
                return  # the followed replica or run ended meanwhile
            losses.lost(error)
        else:
            return
        since = position.since() or (_time(losses.began) if query.get("tail") == 0 else None)
        asked = dict(query) if since is None else {**query, "since": since}


def _time(date: str) -> str | None:
    """Format the time of a Date header as the API takes it."""
    try:
        return parsedate_to_datetime(date).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except ValueError:
        return None


def _lines(
    transport: Transport,
    path: str,
    query: Query,
    *,
    opened: Callable[[Response], None] | None = None,
    again: bool = False,
) -> Generator[str, None, None]:
    patience_s = 0.0 if again else None  # the caller decides how long to reconnect
    with transport.stream(path, query=query, endless=opened is not None, patience_s=patience_s) as answer:
        if opened is not None:
            opened(answer)
        rest = b""
        for chunk in answer.iter_bytes():
            # Only \n ends a line: text may hold other characters that str.splitlines() takes for an end.
            *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
            for line in lines:
                yield _text(line)
            if len(rest) > _LINE_BYTES:
                raise UnexpectedAnswerError(f"a log line is longer than {_LINE_BYTES} bytes")
        if rest:
            yield _text(rest)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")


def _ignore(_: str) -> None:
    """Ignore a message."""
