"""Reader of a JSON request body's head: model, user, stream, bounds of tokens, beginning of the prompt. Never raises.

Bounded: only the first `limit` bytes (the head) are looked at, and all of them are: nothing is decided on a first `model` while
a second one may still be in the head. Which of two equal keys counts differs from engine to engine (Python, Go and JavaScript
take the last, RapidJSON finds the first; RFC 8259 section 4 leaves it open), so a repeated `model` is refused: a request must
never be routed by one name and served by another. Of other repeated keys the last one counts. A `model` that comes again after
the head cannot reach another service: the caller was let in to the service, and whatever its engine makes of the name is the
service's own.

A body that is whole within the head is parsed at once by the C parser, and must be valid; of a longer one the members that are
whole are taken, and of a prompt that is cut off, its beginning. Both say the same of the same members.
"""

from __future__ import annotations

import json
from codecs import utf_8_decode
from typing import Any, Final, Literal

from headrace.appproxy.dataplane.inspect.prompts import beginning, members_of, truncated_prefix
from headrace.common.contracts.reasons.proxy import ModelReason

Unreadable = Literal[
    "", ModelReason.NOT_JSON, ModelReason.TOO_DEEP, "too-long", ModelReason.REPEATED_MODEL, ModelReason.WRONG_TYPE
]

HEAD_BYTES: Final = 65_536
_MAX_TOKENS = 10**9
_SPACE = " \t\r\n"
_decode = json.JSONDecoder().decode
_decode_pairs = json.JSONDecoder(object_pairs_hook=list).decode


class JsonHead:
    """Incremental parser of a JSON body's head. Feed it content until `done`; call end() if the body ended first.

    wants: any of model, user, stream, max_tokens, prompt; members that are not wanted stay None. prompt_bytes: how much
    of the prompt is kept. The result depends on the bytes alone, not on how they were split into chunks.
    """

    __slots__ = (
        "_chunks",
        "_limit",
        "_opened",
        "_prompt_bytes",
        "_size",
        "_wants",
        "done",
        "max_tokens",
        "model",
        "problem",
        "prompt",
        "stream",
        "user",
        "where",
    )

    def __init__(self, wants: frozenset[str], *, limit: int = HEAD_BYTES, prompt_bytes: int = 512) -> None:
        self._wants = wants
        self._limit = limit
        self._prompt_bytes = prompt_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._opened = False
        self.done = not wants
        """True once the result is final."""
        self.problem: Unreadable = ""
        """Why the wanted members could not be read. Empty with `model` None: there is no such member. too-long: the
        head ended before `model` (json_search.py can continue). wrong-type: `model` is no string."""
        self.where = ""
        """Error and position of a complete body that is no JSON."""
        self.model: str | None = None
        self.user: str | None = None
        self.stream: bool | None = None
        self.max_tokens: int | None = None
        """The greater of `max_tokens` and `max_completion_tokens`; at most 10^9."""
        self.prompt: bytes | None = None
        """Beginning of the prompt, in UTF-8: `prompt` (of a list, the first), or roles and texts of `messages`."""

    def feed(self, chunk: bytes) -> bool:
        """Parse the next content; return `done`. Keeps at most `limit` bytes and this chunk, and nothing once done."""
        if self.done:
            return True
        if not self._opened:
            begun = chunk.lstrip(_SPACE.encode())
            if begun and self._size + len(chunk) - len(begun) < self._limit:  # what follows the head is ignored
                self._opened = begun.startswith(b"{")
                if not self._opened:
                    self._finish(ModelReason.NOT_JSON)
                    return True
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit:
            self._settle(self._read_cut, b"".join(self._chunks)[: self._limit])
        return self.done

    def end(self) -> None:
        """Finish at the end of the body, with the members found so far."""
        if not self.done:
            self._settle(self._read_whole, b"".join(self._chunks))

    def _settle(self, read: Any, content: bytes) -> None:
        try:
            self._finish(read(content))
        except RecursionError:
            self._finish(ModelReason.TOO_DEEP)
        except json.JSONDecodeError as error:
            self.where = f": {error.msg.removesuffix(' at')} at character {error.pos}"
            self._finish(ModelReason.NOT_JSON)
        except UnicodeDecodeError as error:
            self.where = f": no UTF-8 at byte {error.start}"
            self._finish(ModelReason.NOT_JSON)
        except ValueError:  # a number with more digits than Python reads
            self._finish(ModelReason.NOT_JSON)

    def _finish(self, problem: Unreadable) -> None:
        self.problem = problem
        self.done = True
        self._chunks = []

    def _read_whole(self, body: bytes) -> Unreadable:
        text = body.decode()
        members = _decode(text)
        if "model" in self._wants and _may_repeat_model(body) and _repeats_model(text):
            return ModelReason.REPEATED_MODEL
        if "prompt" in self._wants:
            self.prompt = _utf8(beginning(members, self._prompt_bytes), self._prompt_bytes)
        return self._take(members)

    def _read_cut(self, head: bytes) -> Unreadable:
        """Parse the head of a body that is longer than the head's limit."""
        if not self._opened:
            return "too-long"
        text = utf_8_decode(head, "strict", False)[0]  # a character may be split
        pairs, cut = members_of(text, len(text) - len(text.lstrip(_SPACE)))
        members = dict(pairs)
        keys = [key for key, _ in pairs]
        if cut is not None:
            keys.append(cut[0])
            members.pop(cut[0], None)  # the later one counts, and it is truncated
        if "model" in self._wants and keys.count("model") > 1:
            return ModelReason.REPEATED_MODEL
        if "prompt" in self._wants:
            self.prompt = _utf8(truncated_prefix(text, members, cut, self._prompt_bytes), self._prompt_bytes)
        problem = self._take(members)
        return "too-long" if "model" in self._wants and "model" not in members and cut is not None else problem

    def _take(self, members: dict[str, Any]) -> Unreadable:
        wants = self._wants
        if "user" in wants:
            user = members.get("user")
            self.user = user if isinstance(user, str) else None
        if "stream" in wants:
            stream = members.get("stream")
            self.stream = stream if isinstance(stream, bool) else None
        if "max_tokens" in wants:
            given = (members.get("max_tokens"), members.get("max_completion_tokens"))
            whole = [number for number in given if type(number) is int and number >= 0]
            self.max_tokens = min(max(whole), _MAX_TOKENS) if whole else None
        if "model" in wants:
            model = members.get("model")
            if isinstance(model, str):
                self.model = model
            elif model is not None:
                return ModelReason.WRONG_TYPE
        return ""


def _may_repeat_model(body: bytes) -> bool:
    """Return False if no two keys of the body can be `model`, even with JSON escapes."""
    return body.count(b'"model"') > 1 or b"\\u00" in body


def _repeats_model(text: str) -> bool:
    pairs: list[tuple[str, Any]] = _decode_pairs(text)
    return sum(key == "model" for key, _ in pairs) > 1


def _utf8(text: str | None, most: int) -> bytes | None:
    """Encode the beginning of `text`; lone surrogates, which UTF-8 cannot encode, as `?`."""
    return None if text is None else text.encode("utf-8", "replace")[:most]
