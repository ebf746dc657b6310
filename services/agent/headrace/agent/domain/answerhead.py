"""Parser of HTTP/1 response heads, for health checks: status, and length of the body (RFC 9112)."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 16 * 1024
MAX_INTERIM_RESPONSES = 8
_SWITCHING_PROTOCOLS = 101
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: .*)?")
_BEGINNING = b"HTTP/1."
_NO_BODY = {204, 304}


class NotHttpError(ValueError):
    """The bytes are no HTTP/1 response. The text says why."""


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """A complete response head."""

    status: int
    end: int
    """Where the body begins."""
    body_bytes: int | None
    """Bytes of body that follow; None: the connection has to be closed to know, or to be sure."""


def final_head(content: bytes) -> AnswerHead | None:
    """Return the head of the final response in `content`; interim responses (1xx) before it are skipped.

    None while it is incomplete. Raises NotHttpError.
    """
    start = 0
    for _ in range(MAX_INTERIM_RESPONSES + 1):
        head = _head(content, start)
        if head is None or head.status >= 200 or head.status == _SWITCHING_PROTOCOLS:
            return head
        start = head.end
    raise NotHttpError(f"more than {MAX_INTERIM_RESPONSES} interim answers (1xx) came")


def _head(content: bytes, start: int) -> AnswerHead | None:
    if not content.startswith(_BEGINNING[: len(content) - start], start):
        raise NotHttpError("its answer is not HTTP")
    end, width = content.find(b"\r\n\r\n", start), 4
    if end < 0:
        end, width = content.find(b"\n\n", start), 2  # a lone line feed may be taken for the end of a line
    if end < 0 or end - start > MAX_HEAD_BYTES:
        if len(content) - start > MAX_HEAD_BYTES:
            raise NotHttpError(f"its answer's head is longer than {MAX_HEAD_BYTES // 1024} KiB")
        return None
    first, *fields = content[start:end].split(b"\n")
    found = _STATUS.fullmatch(first.rstrip(b"\r"))
    if found is None:
        raise NotHttpError("its answer is not HTTP")
    status = int(found[2])
    body = _body_bytes(status, fields) if found[1] == b"1" and width == 4 else None
    return AnswerHead(status, end + width, body)


def _body_bytes(status: int, fields: list[bytes]) -> int | None:
    length: int | None = None
    for field in fields:
        name, _, value = field.partition(b":")
        word, said = name.lower(), value.strip()
        if word == b"content-length":
            if not said.isdigit() or len(said) > 15 or length not in {None, int(said)}:
                return None
            length = int(said)
        elif word == b"transfer-encoding" or (word == b"connection" and said.lower() != b"keep-alive"):
            return None
    return 0 if status in _NO_BODY else length
