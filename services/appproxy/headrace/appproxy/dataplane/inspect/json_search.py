"""Incremental search for the member `model` of a JSON object of any size; nothing of the body is kept.

For what follows the head (json_head.py), where only one thing is asked. It ends at the first `model` of the object itself; texts and
nested values before it are passed over by patterns, in time that is linear in their size however they are nested or cut into chunks.
What is passed over is not checked: whoever gets the whole of it will.
"""

from __future__ import annotations

import json
import re
from typing import Final, Literal

from headrace.common.contracts.reasons.proxy import ModelReason

Unfound = Literal[
    "", ModelReason.NOT_JSON, ModelReason.NAME_TOO_LONG, ModelReason.WRONG_TYPE, ModelReason.TOO_MANY_MEMBERS
]

MAX_NAME: Final = 512
"""Longest model name, in bytes as written."""
MAX_MEMBERS: Final = 1000
"""Members that may precede `model`."""
_MAX_KEY: Final = 64
_WINDOW: Final = 16_384
"""Length of one pattern match: the engine keeps state for each repetition."""
_BEGIN: Final = 0
_FIRST: Final = 1
_KEY: Final = 2
_COLON: Final = 3
_VALUE: Final = 4
_NESTED: Final = 5
_SCALAR: Final = 6
_AFTER: Final = 7
_space = re.compile(rb"[ \t\r\n]*").match
_text = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL).match
_texts = re.compile(rb'(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"\[\]{}]*)+', re.DOTALL).match
_brackets = re.compile(rb"[\[\]{}]").finditer
_scalar_end = re.compile(rb"[,}\] \t\r\n]").search


class JsonSearch:
    """Incremental search for the member `model` of one body. Feed it content until `done`; call end() if the body ended
    first. Never raises.
    """

    __slots__ = (
        "_before",
        "_depth",
        "_escaped",
        "_in_text",
        "_kept",
        "_key",
        "_members",
        "_state",
        "_value_at",
        "done",
        "model",
        "problem",
        "span",
    )

    def __init__(self) -> None:
        self.done = False
        """True once the result is final."""
        self.problem: Unfound = ""
        """Why there is no model. Empty with `model` None: the object has no such member, or it is null."""
        self.model: str | None = None
        self.span: tuple[int, int] = (0, 0)
        """Position of the value in the body, quotes included."""
        self._state = _BEGIN
        self._in_text = False
        self._escaped = False
        """True if the last chunk ended between a backslash and the escaped character."""
        self._kept: bytes | None = None
        """Kept part of the current string, if it is a key or the value of `model`."""
        self._key = False
        """True if the current member is `model`."""
        self._depth = 0
        self._members = 0
        self._before = 0
        self._value_at = 0

    def feed(self, chunk: bytes) -> bool:
        """Scan the next content; return `done`."""
        at, end = 0, len(chunk)
        while at < end and not self.done:
            if self._in_text:
                at = self._scan_string(chunk, at)
            elif self._state == _NESTED:
                at = self._scan_nested(chunk, at)
            elif self._state == _SCALAR:
                at = self._scan_scalar(chunk, at)
            else:
                space = _space(chunk, at)
                at = space.end() if space is not None else at
                if at < end:
                    at = self._token(chunk, at)
        self._before += end
        return self.done

    def end(self) -> None:
        """Finish at the end of the body."""
        if not self.done:
            self._finish(ModelReason.NOT_JSON)

    def _finish(self, problem: Unfound) -> None:
        self.problem = problem
        self.done = True
        self._kept = None

    def _token(self, chunk: bytes, at: int) -> int:
        """Process one character between values; return the next state."""
        state, char = self._state, chunk[at : at + 1]
        if char == b'"' and state in (_FIRST, _KEY):
            self._in_text, self._kept = True, b""
        elif char == b"{" and state == _BEGIN:
            self._state = _FIRST
        elif char == b":" and state == _COLON:
            self._state = _VALUE
        elif char == b"," and state == _AFTER:
            self._state = _KEY
        elif char == b"}" and state in (_FIRST, _AFTER):
            self._finish("")
        elif state == _VALUE:
            return self._open_value(char, at)
        else:
            self._finish(ModelReason.NOT_JSON)
        return at + 1

    def _open_value(self, char: bytes, at: int) -> int:
        self._value_at = self._before + at
        if char == b'"':
            self._in_text, self._kept = True, b"" if self._key else None
            return at + 1
        if char in (b",", b":", b"}", b"]"):
            self._finish(ModelReason.NOT_JSON)
        elif self._key and char != b"n":
            self._finish(ModelReason.WRONG_TYPE)
        elif self._key:
            self._finish("")  # null counts as missing
        elif char in (b"[", b"{"):
            self._state, self._depth = _NESTED, 1
            return at + 1
        else:
            self._state = _SCALAR
        return at

    def _scan_scalar(self, chunk: bytes, at: int) -> int:
        found = _scalar_end(chunk, at)
        if found is None:
            return len(chunk)
        self._state = _AFTER
        return found.start()

    def _scan_nested(self, chunk: bytes, at: int) -> int:
        quote = chunk.find(b'"', at)
        stop = quote if quote >= 0 else len(chunk)
        closed = chunk.count(b"]", at, stop) + chunk.count(b"}", at, stop)
        if closed < self._depth:
            self._depth += chunk.count(b"[", at, stop) + chunk.count(b"{", at, stop) - closed
        else:  # the object may end before the next string
            for bracket in _brackets(chunk, at, stop):
                self._depth += 1 if bracket[0] in (b"[", b"{") else -1
                if not self._depth:
                    self._state = _AFTER
                    return bracket.end()
        if quote < 0:
            return stop
        texts = _texts(chunk, quote, quote + _WINDOW)
        if texts is not None:
            return texts.end()
        self._in_text, self._kept = True, None
        return quote + 1

    def _scan_string(self, chunk: bytes, at: int) -> int:
        begin, end = at, len(chunk)
        if self._escaped:
            self._escaped = False
            at += 1
        found = _text(chunk, at, at + _WINDOW)
        at = found.end() if found is not None else at
        after = at
        if at < end:
            if chunk[at : at + 1] == b'"':
                after = at + 1
                self._in_text = False
            elif chunk[at : at + 1] == b"\\":  # the escaped character is beyond the pattern's window
                self._escaped = at + 1 == end
                at = after = end if self._escaped else at + 2
        if self._kept is not None:
            self._kept += chunk[begin:at][: MAX_NAME + 1]
            self._check_kept(self._before + after)
        elif not self._in_text and self._state != _NESTED:
            self._end_text()
        return after

    def _check_kept(self, after: int) -> None:
        """Process a key, or the value of `model`, after more of it came or it ended."""
        kept = self._kept or b""
        value = self._state == _VALUE
        if len(kept) > (MAX_NAME if value else _MAX_KEY):
            self._kept, self._key = None, False
            if value:
                self._finish(ModelReason.NAME_TOO_LONG)
            elif not self._in_text:
                self._end_text()
            return
        if self._in_text:
            return
        text = _decoded(kept)
        self._kept = None
        if text is None:
            self._finish(ModelReason.NOT_JSON)
        elif value:
            self.model, self.span = text, (self._value_at, after)
            self._finish("")
        else:
            self._key = text == "model"
            self._end_text()

    def _end_text(self) -> None:
        if self._state == _VALUE:
            self._state = _AFTER
            return
        self._state = _COLON
        self._members += 1
        if self._members > MAX_MEMBERS:
            self._finish(ModelReason.TOO_MANY_MEMBERS)


def _decoded(text: bytes) -> str | None:
    try:
        found = json.loads(b'"' + text + b'"')
    except ValueError:
        return None
    return found if isinstance(found, str) else None
