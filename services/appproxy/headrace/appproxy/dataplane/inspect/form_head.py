"""Reader of the field `model` in a multipart/form-data body (RFC 7578), as uploads of audio and images have it. Never raises.

The first `limit` bytes are looked at whole, so that a second `model` in them is seen and refused (engines differ in which one
counts); where none was in them, the form is gone through until one comes, since forms often put the file first. Bounded by the
number of parts. Nothing is kept but a part's head and the value of `model`; of the rest what may be the beginning of its end.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from headrace.appproxy.dataplane.inspect.json_head import HEAD_BYTES
from headrace.appproxy.dataplane.inspect.json_search import MAX_NAME
from headrace.common.contracts.reasons.proxy import ModelReason

Unreadable = Literal[
    "",
    ModelReason.NOT_A_FORM,
    ModelReason.NAME_TOO_LONG,
    ModelReason.REPEATED_MODEL,
    ModelReason.WRONG_TYPE,
    ModelReason.TOO_MANY_PARTS,
]
MAX_PARTS: Final = 1000
_MAX_HEAD = 8192
_BOUNDARY = re.compile(rb';\s*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
_DISPOSITION = re.compile(rb"^content-disposition:[ \t]*form-data[ \t]*(;[^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PARAMETER = re.compile(rb';[ \t]*([^\s=;"]+)=("[^"\r\n]*"|[^\s;"]*)[ \t]*')
_NEXT: Final = b"\r\n"


def boundary(content_type: bytes) -> bytes | None:
    """Return the boundary of a multipart/form-data Content-Type, or None for any other type."""
    if content_type.partition(b";")[0].strip().lower() != b"multipart/form-data":
        return None
    match = _BOUNDARY.search(content_type)
    return (match[1] or match[2]) if match else None


class FormHead:
    """Incremental parser of a form's head. Feed it content until `done`; call end() if the body ended first."""

    __slots__ = ("_limit", "_mark", "_parts", "_rest", "_seen", "_step", "done", "model", "problem", "span")

    def __init__(self, boundary: bytes, *, limit: int = HEAD_BYTES) -> None:
        self._mark = b"\r\n--" + boundary
        self._limit = limit
        self._seen = 0
        self._parts = 0
        # As if a line had ended before the body: the first boundary may be its very beginning.
        self._rest = bytearray(_NEXT)
        self._step = self._skip
        self.done = False
        self.problem: Unreadable = ""
        """Why `model` could not be read. Empty with `model` None: the form has no such field. wrong-type: it is a
        file."""
        self.model: str | None = None
        self.span: tuple[int, int] = (0, 0)
        """Position of the value in the body."""

    def feed(self, chunk: bytes) -> bool:
        """Parse the next content; return `done`."""
        if self.done:
            return True
        in_head = chunk[: max(self._limit - self._seen, 0)]
        self._advance(in_head)
        beyond = chunk[len(in_head) :]
        if beyond and not self.done:
            if self.model is not None:
                self._finish("")
            else:
                self._advance(beyond)
        return self.done

    def _advance(self, content: bytes) -> None:
        self._seen += len(content)
        self._rest += content
        while not self.done and self._step():
            pass

    def end(self) -> None:
        """Finish at the end of the body."""
        if not self.done:
            self._finish("" if self.model is not None else ModelReason.NOT_A_FORM)

    def _finish(self, problem: Unreadable) -> None:
        self.problem = problem
        if problem:
            self.model = None
        self.done = True
        self._rest = bytearray()

    # --- parser steps: each consumes what it can, and returns True if there may be more to do

    def _skip(self) -> bool:
        """Skip to the next boundary."""
        at = self._rest.find(self._mark)
        if at < 0:
            del self._rest[: 1 - len(self._mark)]
            return False
        del self._rest[: at + len(self._mark)]
        self._step = self._open
        return True

    def _open(self) -> bool:
        """Tell apart the last boundary, a part's boundary, and text that only resembles one."""
        if len(self._rest) < 2:
            return False
        if self._rest.startswith(b"--"):
            self._finish("")
        elif self._parts >= MAX_PARTS:
            self._finish(ModelReason.TOO_MANY_PARTS)
        else:
            # The part's head begins with the line end after the boundary, so that a head without fields ends as any other.
            self._step = self._head if self._rest.startswith(_NEXT) else self._skip
            self._parts += 1
        return not self.done

    def _head(self) -> bool:
        """Parse a part's head."""
        at = self._rest.find(b"\r\n\r\n", 0, _MAX_HEAD)
        if at < 0:
            if len(self._rest) >= _MAX_HEAD:
                self._finish(ModelReason.NOT_A_FORM)
            return False
        head = bytes(self._rest[2:at])
        del self._rest[: at + 2]  # the line end stays: an empty value's boundary begins with it
        named = _parameters(head)
        if named.get(b"name") != b"model":
            self._step = self._skip
        elif self.model is not None:
            self._finish(ModelReason.REPEATED_MODEL)
        elif b"filename" in named or b"filename*" in named:
            self._finish(ModelReason.WRONG_TYPE)
        else:
            self._step = self._value
        return not self.done

    def _value(self) -> bool:
        """Read the value of the field `model`."""
        at = self._rest.find(self._mark, 0, MAX_NAME + len(self._mark) + 2)
        if at < 0:
            if len(self._rest) >= MAX_NAME + len(self._mark) + 2:
                self._finish(ModelReason.NAME_TOO_LONG)
            return False
        begin = self._seen - len(self._rest)
        self.span = (begin + 2, begin + at)
        try:
            self.model = self._rest[2:at].decode()
        except UnicodeDecodeError:
            self._finish(ModelReason.WRONG_TYPE)
            return False
        self._step = self._skip
        if self._seen > self._limit:
            self._finish("")
        return not self.done


def _parameters(head: bytes) -> dict[bytes, bytes]:
    """Return the parameters of a part's Content-Disposition, by names in lower case."""
    field = _DISPOSITION.search(head)
    found: dict[bytes, bytes] = {}
    at = field.start(1) if field else len(head)
    while match := _PARAMETER.match(head, at):
        found[match[1].lower()] = match[2].strip(b'"')
        at = match.end()
    return found
