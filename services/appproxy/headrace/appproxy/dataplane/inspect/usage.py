"""Token usage and event times of a response, read while it is relayed, without delaying it. Never raises.

Engines report `usage` as OpenAI does: in a JSON response, or in one of a stream's last events (`data:
{…,"usage":{…}}`); the names of the Responses and Messages APIs (`input_tokens`, `output_tokens`) count as well, and what
the Messages API counts apart of a prompt, for its cache. Of several the last one counts; earlier ones fill in the numbers
that it lacks, also the first event of a stream (`message_start`). Transcriptions may tell seconds of audio instead.
Generated text cannot be mistaken for it: inside JSON strings its quotes are escaped. Only responses without
Content-Encoding can be read.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal

UsageFormat = Literal["json", "events"]
TAIL_BYTES: Final = 16_384
"""Bytes searched at a response's end, and at a JSON response's beginning."""
_FIRST_EVENT_BYTES: Final = 2048
"""Bytes kept of a stream's beginning: its first event has the prompt's tokens, in the Messages API."""
_MESSAGE_START: Final = re.compile(
    rb'(?:event: ?message_start\r?\n)?data: ?\{(?:[^\r\n]*[^\r\n\\])?"message_start"[^\r\n]*(?:\r?\n\r?\n)?'
)
"""First event of a stream of the Messages API. In generated text the quotes would be escaped."""
_OPENING_EVENTS: Final = 2
"""Events of such a stream that have no text: message_start, content_block_start."""
_EVENT_BYTES: Final = 140
"""Bytes of its events beside the text: rather too many, since each event counts as a token at least."""
_BYTES_PER_TOKEN: Final = 4
"""As in estimates (ratelimit/policy.py)."""
_MAX_TOKENS: Final = 10**9
_MAX_AUDIO_S: Final = 10**6
_MAX_OBJECT: Final = 8192
_MAX_OBJECTS: Final = 16
_USAGE: Final = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*(?=\{)')
_USUAL: Final = re.compile(
    rb'"usage"\s*:\s*\{\s*"prompt_tokens"\s*:\s*([0-9]{1,9})\s*,\s*(?:"total_tokens"\s*:\s*([0-9]{1,9})\s*,\s*)?'
    rb'"completion_tokens"\s*:\s*([0-9]{1,9})\s*(?:,\s*"total_tokens"\s*:\s*([0-9]{1,9})\s*)?(?:,\s*"prompt_tokens_details"\s*:\s*null\s*)?\}'
)
"""Usual form of most engines, matched in one step; everything else is parsed as JSON."""
_PROMPT: Final = b'"usage":{"prompt_tokens":'
_COMPLETION: Final = b',"completion_tokens":'
_TOTAL: Final = b',"total_tokens":'
_NO_DETAILS: Final = b',"prompt_tokens_details":null}'
_LONGEST_COMPACT: Final = 128
_LINE_FEED: Final = 0x0A
_CARRIAGE_RETURN: Final = 0x0D
_MAX_DIGITS: Final = 9
_value: Final = json.JSONDecoder().raw_decode
_CACHED: Final[tuple[str, ...]] = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Parts of a prompt that the Messages API does not count in `input_tokens`."""
_NAMES: Final[tuple[tuple[str, str], ...]] = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
)
Tokens = tuple[int | None, int | None, int | None]
NOTHING: Final[Tokens] = (None, None, None)
"""Result for a response without token usage."""


class UsageReader:
    """Incremental reader of one response's token usage and event times.

    The token counts depend on the bytes alone; times are those of the chunks in which events ended.
    """

    __slots__ = (
        "_carry",
        "_head",
        "_kept",
        "_kind",
        "_size",
        "_tail",
        "_tokens",
        "_whole_size",
        "events",
        "first_s",
        "last_s",
    )

    def __init__(self, kind: UsageFormat) -> None:
        self._kind = kind
        self._head = b""
        """First bytes of the response."""
        self._tail = b""
        self._kept: list[bytes] = []
        """Bytes after the tail."""
        self._size = 0
        self._whole_size = 0
        """Bytes before those of `_kept`."""
        self._carry = b""
        """Beginning of an event's end, if a chunk ended inside one."""
        self._tokens: Tokens | None = None
        self.events = 0
        """Blocks that ended with an empty line (HTML, section 9.2.5), whatever their content."""
        self.first_s: float | None = None
        self.last_s: float | None = None

    def feed(self, content: bytes, now_s: float) -> None:
        """Read content that arrived at `now_s`, by a monotonic clock."""
        self._kept.append(content)
        size = len(content)
        self._size += size
        if self._kind == "events":
            # The usual case is one whole event of one line.
            whole = not self._carry and content.endswith(b"\n\n") and _LINE_FEED not in content[: size - 2]
            ended = 1 if whole else self._count(content)
            if ended:
                if not self.events:
                    self.first_s = now_s
                self.events += ended
                self.last_s = now_s
            if len(self._head) < _FIRST_EVENT_BYTES:
                self._head += content[: _FIRST_EVENT_BYTES - len(self._head)]
        elif len(self._head) < TAIL_BYTES:
            self._head += content[: TAIL_BYTES - len(self._head)]
        if self._size > 2 * TAIL_BYTES:
            self._shorten()

    def _count(self, content: bytes) -> int:
        """Return the number of events that end in `content`.

        Two line ends in a row are one end of an event, and a third begins the next.
        """
        content = self._carry + content
        if _CARRIAGE_RETURN in content:
            held = content.endswith(b"\r")
            content = content.replace(b"\r\n", b"\n")
        else:
            held = False
        ended = content.count(b"\n\n")
        before = content[:-1] if held else content
        run = len(before) - len(before.rstrip(b"\n"))
        self._carry = (b"\n" if run % 2 else b"") + (b"\r" if held else b"")
        return ended

    def _shorten(self) -> None:
        self._tail = (self._tail + b"".join(self._kept))[-TAIL_BYTES:]
        self._kept.clear()
        self._whole_size += self._size
        self._size = 0
        self._tokens = None

    @property
    def tokens(self) -> Tokens:
        """Prompt, completion and total tokens found so far: integers from 0 to below 10^9, or None."""
        if self._kept:
            self._shorten()
        if self._tokens is None:
            found = tokens_in(self._tail)
            if self._kind == "json":
                found = tokens_in(self._head) if found == NOTHING else found
            elif (begin := _MESSAGE_START.match(self._head)) is not None:
                found = self._tokens_of_messages(begin[0])
            elif found[0] is None and found[1] is not None:
                found = tokens_in(self._head)[0], found[1], found[2]
            self._tokens = found
        return self._tokens

    def _tokens_of_messages(self, begin: bytes) -> Tokens:
        """Return the tokens of a stream of the Messages API, of which `begin` is the first event, with those of the prompt.

        Those of the completion are told by one of its last events. Of a stream that was cut before, they are counted by what
        was sent: a token an event, or four bytes of text, whichever is more.
        """
        prompt, told, _ = tokens_in(begin)
        rest = self._tail.removeprefix(begin)
        later = tokens_in(rest)
        prompt = prompt if later[0] is None else later[0]
        if later[1] is not None or prompt is None:
            return prompt, later[1], later[2]
        text_bytes = self._whole_size - len(begin) - _EVENT_BYTES * max(0, self.events - 1)
        sent = max(told or 0, self.events - _OPENING_EVENTS, text_bytes // _BYTES_PER_TOKEN)
        return prompt, min(sent, _MAX_TOKENS - 1), None

    @property
    def audio_ms(self) -> int:
        """Milliseconds of audio that the response tells, or 0."""
        if self._kept:
            self._shorten()
        return audio_ms_in(self._tail) or audio_ms_in(self._head)

    @property
    def seconds_per_event(self) -> float | None:
        """Mean time between the events of a stream; None below two."""
        if self.first_s is None or self.last_s is None or self.events < 2:
            return None
        return (self.last_s - self.first_s) / (self.events - 1)


def usage_kind(content_type: bytes) -> UsageFormat | None:
    """Return the kind of reader for this content type, None if it can have no usage."""
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        return "events"
    return "json" if kind == b"application/json" else None


def cost(tokens: Tokens) -> int | None:
    """Return the tokens that count for limits: prompt plus completion, else the total; None if there are neither."""
    prompt, completion, total = tokens
    if prompt is None and completion is None:
        return total
    return (prompt or 0) + (completion or 0)


def tokens_of(content: bytes) -> Tokens:
    """Return the usage of a complete JSON response: searched at its end, then at its beginning."""
    if len(content) <= TAIL_BYTES:
        return tokens_in(content)
    found = tokens_in(content[-TAIL_BYTES:])
    return found if found != NOTHING else tokens_in(content[:TAIL_BYTES])


def tokens_in(content: bytes) -> Tokens:
    """Return the usage in the last `usage` objects of a text, each number from the last one that has it."""
    last = content.rfind(b'"usage"')
    if last < 0:
        return NOTHING
    compact = _compact(content[last : last + _LONGEST_COMPACT])
    if compact is not None:
        return compact
    usual = _USUAL.match(content, last)
    if usual is not None:
        prompt, total, completion, total_last = usual.groups()
        total = total_last or total
        return int(prompt), int(completion), None if total is None else int(total)
    found: dict[str, int] = {}
    for usage in _usages(content):
        for name, other in _NAMES:
            number = _number(usage, name, other)
            if number is not None:
                found.setdefault(name, number)
    return found.get("prompt_tokens"), found.get("completion_tokens"), found.get("total_tokens")


def audio_ms_of(content: bytes) -> int:
    """Return the milliseconds of audio that a complete JSON response tells, or 0."""
    return audio_ms_in(content[-TAIL_BYTES:]) or audio_ms_in(content[:TAIL_BYTES])


def audio_ms_in(content: bytes) -> int:
    """Return the milliseconds of audio in the last `usage` object that has `seconds`, as transcriptions do; 0 without one."""
    for usage in _usages(content):
        seconds = usage.get("seconds")
        if type(seconds) in {int, float} and 0 <= seconds < _MAX_AUDIO_S:  # type: ignore[operator]
            return round(seconds * 1000)  # type: ignore[operator]
    return 0


def _usages(content: bytes) -> list[dict[str, Any]]:
    """Return the last `usage` objects of a text that are whole, the last one first."""
    ends = [match.end() for match in _USAGE.finditer(content)]
    found: list[dict[str, Any]] = []
    for at in reversed(ends[-_MAX_OBJECTS:]):
        try:
            usage, _ = _value(content[at : at + _MAX_OBJECT].decode("utf-8", "replace"))
        except (ValueError, RecursionError):  # cut off
            continue
        found.append(usage)
    return found


def _compact(usage: bytes) -> Tokens | None:
    """Return the usage if `usage` matches `_USUAL`, which has no blanks; else None. A tenth of the cost of a full
    parse.
    """
    if not usage.startswith(_PROMPT):
        return None
    prompt, end = _digits(usage, len(_PROMPT))
    total = completion = -1
    rest = usage[end:]
    if rest.startswith(_TOTAL):
        total, end = _digits(rest, len(_TOTAL))
        rest = rest[end:]
    if rest.startswith(_COMPLETION):
        completion, end = _digits(rest, len(_COMPLETION))
        rest = rest[end:]
    if total < 0 and rest.startswith(_TOTAL):
        total, end = _digits(rest, len(_TOTAL))
        rest = rest[end:]
    if prompt < 0 or completion < 0 or not (rest.startswith(b"}") or rest.startswith(_NO_DETAILS)):  # noqa: PIE810 - compiled so
        return None
    return prompt, completion, None if total < 0 else total


def _digits(text: bytes, begin: int) -> tuple[int, int]:
    """Return the number of up to nine digits that begins there (-1 if none does), and the index after it."""
    number = 0
    end = begin
    while end < len(text):
        digit = text[end] - 48
        if digit < 0 or digit > 9:
            break
        number = number * 10 + digit
        end += 1
    return (number if begin < end <= begin + _MAX_DIGITS else -1), end


def _number(usage: dict[str, Any], name: str, other: str) -> int | None:
    number = usage.get(name)
    if number is None:
        number = usage.get(other)
        if name == "prompt_tokens" and type(number) is int:
            number += sum(part for cached in _CACHED if type(part := usage.get(cached)) is int and part > 0)
    return number if type(number) is int and 0 <= number < _MAX_TOKENS else None
