"""Prefix of a request's prompt, whole or cut off: what requests that share an engine's cached prefix have in common.

Roles belong to it, so that different system prompts differ from each other and from users' words. Images, tools and all else
that is no text is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_space = re.compile(r"[ \t\n\r]*").match
_value = json.JSONDecoder().raw_decode
Cut = tuple[str, int]
"""Key of the truncated member, and index of its value in the text."""


def members_of(text: str, at: int) -> tuple[list[tuple[str, Any]], Cut | None]:
    """Return the complete members of the object that opens at `at`, and the truncated rest; the rest is None if there
    is none.

    Invalid JSON counts as truncated: the replica will refuse it. A value that touches the end of the text counts as
    truncated too: more digits may follow. Raises RecursionError for what is nested too deep.
    """
    pairs: list[tuple[str, Any]] = []
    at = _end(text, at + 1)
    if text.startswith("}", at):
        return pairs, None
    key: Any = ""  # it may not be a string in invalid JSON: compiled, unpacking it as `str` would raise here
    while True:
        try:
            key, at = _value(text, at)
        except ValueError:
            return pairs, ("", len(text))
        at = _end(text, at)
        if not isinstance(key, str) or not text.startswith(":", at):
            return pairs, ("", len(text))
        begin = at = _end(text, at + 1)
        try:
            value, at = _value(text, at)
        except ValueError:
            return pairs, (key, begin)
        at = _end(text, at)
        after = text[at : at + 1]
        if after not in {",", "}"} or not after:
            return pairs, (key, begin)
        pairs.append((key, value))
        if after == "}":
            return pairs, None
        at = _end(text, at + 1)


def beginning(members: dict[str, Any], most: int) -> str | None:
    """Return a prefix of at least `most` characters of the prompt in a request's members, or None if there is no
    prompt.
    """
    messages = members.get("messages")
    if isinstance(messages, list):
        return _joined((_message(message, most) for message in messages), most)
    return _prompt(members.get("prompt"), most)


def truncated_prefix(text: str, members: dict[str, Any], cut: Cut | None, most: int) -> str | None:
    """Return the same prefix for a truncated request: `members` are its complete ones."""
    if cut is not None and cut[1] < len(text):
        key, at = cut
        if key == "messages" and text[at] == "[":
            return _joined(_cut_messages(text, at, most), most)
        if key == "prompt" and "messages" not in members:
            return _cut_prompt(text, at, most)
    return beginning(members, most)


def _joined(texts: Iterator[str], most: int) -> str:
    pieces = []
    size = 0
    for text in texts:
        pieces.append(text)
        size += len(text)
        if size >= most:
            break
    return "".join(pieces)


def _message(message: Any, most: int) -> str:
    if not isinstance(message, dict):
        return "\n"
    return f"{_word(message.get('role'))}\n{_content(message.get('content'), most)}\n"


def _content(content: Any, most: int) -> str:
    if isinstance(content, str):
        return content[:most]
    return _joined((_part(part) for part in content), most) if isinstance(content, list) else ""


def _part(part: Any) -> str:
    return _word(part.get("text")) if isinstance(part, dict) and part.get("type") in {"text", "input_text"} else ""


def _word(text: Any) -> str:
    return text if isinstance(text, str) else ""


def _prompt(prompt: Any, most: int) -> str | None:
    """Return the text of a prompt: of several prompts the first; of a tokenised one, its numbers."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return prompt[:most]
    if isinstance(prompt, list):
        return "".join(f"{token}," for token in prompt[:most] if type(token) is int)
    return None


def _cut_prompt(text: str, at: int, most: int, *, inner: bool = False) -> str | None:
    if text[at] == '"':
        return _cut_string(text, at, most)
    if text[at] != "[":
        return None
    found: list[str] = []
    for value, begin in _elements(text, at):
        if begin < 0:
            if not found and not inner and isinstance(value, str | list):
                return _prompt(value, most)
            found += [f"{value},"] if type(value) is int else []
            if len(found) >= most:
                break
        elif not found and not inner and text[begin] in {'"', "["}:
            return _cut_prompt(text, begin, most, inner=True)
    return "".join(found)


def _cut_messages(text: str, at: int, most: int) -> Iterator[str]:
    for message, begin in _elements(text, at):
        if begin < 0:
            yield _message(message, most)
        elif text.startswith("{", begin):
            pairs, cut = members_of(text, begin)
            members = dict(pairs)
            yield f"{_word(members.get('role'))}\n"
            if cut is not None and cut[0] == "content":
                yield from _cut_content(text, cut[1], most)
            else:
                yield _content(members.get("content"), most)


def _cut_content(text: str, at: int, most: int) -> Iterator[str]:
    if text.startswith('"', at):
        yield _cut_string(text, at, most)
    elif text.startswith("[", at):
        for part, begin in _elements(text, at):
            if begin < 0:
                yield _part(part)
            elif text.startswith("{", begin):
                pairs, cut = members_of(text, begin)
                kind = dict(pairs).get("type")
                if cut is not None and cut[0] == "text" and kind in {"text", "input_text"}:
                    yield _cut_string(text, cut[1], most)


def _elements(text: str, at: int) -> Iterator[tuple[Any, int]]:
    """Yield (value, -1) for each complete element of the list that opens at `at`, then (None, its index) for a
    truncated one.
    """
    at = _end(text, at + 1)
    while at < len(text) and text[at] != "]":
        begin = at
        try:
            value, at = _value(text, at)
        except ValueError:
            yield None, begin
            return
        at = _end(text, at)
        if text[at : at + 1] not in {",", "]"} or at >= len(text):
            yield None, begin
            return
        yield value, -1
        if text[at] == "]":
            return
        at = _end(text, at + 1)


def _cut_string(text: str, at: int, most: int) -> str:
    """Return the beginning of a truncated string that opens at `at`; empty if no string opens there."""
    if not text.startswith('"', at):
        return ""
    begun = text[at : at + 13 + 6 * most]  # an escape has at most six characters for each byte of UTF-8
    for missing in range(6):  # of the last escape
        try:
            found, _ = _value(begun[: len(begun) - missing] + '"', 0)
        except ValueError:
            continue
        return _word(found)
    return ""


def _end(text: str, at: int) -> int:
    """Return the index after the whitespace at `at`."""
    match = _space(text, at)
    return match.end() if match else at
