"""Reading logs line by line while they come."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from types import TracebackType

from headrace.sdk.errors import UnexpectedAnswerError
from headrace.sdk.transport import Query, Transport

_LINE_BYTES = 16 * 1024 * 1024


class LogStream(AbstractContextManager["LogStream"], Iterator[str]):
    """An iterator over lines (without their end). The request is made by the first line asked for.

    close() it (or use it as a context manager) when it is left early. Raises AnswerLostError when the stream breaks.
    """

    def __init__(self, transport: Transport, path: str, query: Query, *, follow: bool) -> None:
        self._lines = _lines(transport, path, query, follow=follow)

    def __next__(self) -> str:
        return next(self._lines)

    def close(self) -> None:
        """End the request; the server stops following."""
        self._lines.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _lines(transport: Transport, path: str, query: Query, *, follow: bool) -> Generator[str, None, None]:
    with transport.stream(path, query=query, endless=follow) as answer:
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
