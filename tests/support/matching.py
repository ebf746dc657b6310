"""Step counter of a backtracking regular expression matcher, and inputs that make a pattern backtrack.

The real matcher is in C and exposes no steps. This one follows the same parsed pattern in the same order, so where it
needs four times the steps for twice the input, so does the real one.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice, product
from typing import Any

from tests.support.effort import examples

c: Any = import_module("re._constants")
parser: Any = import_module("re._parser")
"""Private parts of the standard library, which no type checker has to know."""
Then = Callable[[int], bool]
Items = list[tuple[Any, Any]]
_STEPS = 200_000
MAX_INPUTS = 600
"""Inputs that one pattern is tried with at night; fewer of the same ones in other runs."""
_IGNORECASE, _DOTALL = int(re.IGNORECASE), int(re.DOTALL)
_REPEATS = (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT)
_OTHERS = (0x80, 0x20, 0x09, 0x0A, 0x61, 0x3B, 0x22)
"""Characters that are tried although the pattern may not name them: some of them end a match that is nearly whole."""
_CHARACTERS = 3
"""Of those that a place takes, how many are tried."""


class TooManyStepsError(Exception):
    """The matcher exceeded its bound on steps."""


class CharacterMatches(dict[int, bool]):
    """Cache of whether one position of a pattern matches a character."""

    def __init__(self, op: Any, argument: Any, flags: int) -> None:
        self._what = op, argument, flags

    def __missing__(self, char: int) -> bool:
        op, argument, flags = self._what
        found = self[char] = _takes(op, argument, char, flags)
        return found


class Matcher:
    """Counts the steps of a pattern."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        parsed = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
        self._flags = int(parsed.state.flags)
        self._items = self._prepared(parsed)
        self._text: list[int] = []
        self._steps = 0

    def _prepared(self, parsed: Any) -> Items:
        """Return the pattern's items with precomputed lookups."""
        items: list[tuple[Any, Any]] = []
        for op, argument in parsed:
            if op in _REPEATS:
                items.append((op, (argument[0], argument[1], self._prepared(argument[2]))))
            elif op is c.SUBPATTERN:
                items.append((op, self._prepared(argument[3])))
            elif op is c.ATOMIC_GROUP:
                items.append((op, self._prepared(argument)))
            elif op is c.BRANCH:
                items.append((op, [self._prepared(way) for way in argument[1]]))
            elif op in (c.ASSERT, c.ASSERT_NOT):
                back = 0 if argument[0] > 0 else argument[1].getwidth()[0]
                items.append((op, (back, self._prepared(argument[1]))))
            elif op is c.AT:
                items.append((op, argument))
            else:
                items.append((None, CharacterMatches(op, argument, self._flags)))
        return items

    def steps(self, text: list[int], *, search: bool) -> int:
        """Return the steps of a match at the start, or of a search from every position, whether or not it matches."""
        self._text, self._steps = text, 0
        deep = sys.getrecursionlimit()
        sys.setrecursionlimit(100_000)
        try:
            for at in range(len(text) + 1 if search else 1):
                if self._match(self._items, 0, at, lambda _: True):
                    break
        finally:
            sys.setrecursionlimit(deep)
        return self._steps

    def _match(self, items: Items, number: int, at: int, then: Then) -> bool:
        self._steps += 1
        while number < len(items) and items[number][0] is None:  # one character each: a step, and no choice
            if at >= len(self._text) or not items[number][1][self._text[at]]:
                return False
            number, at = number + 1, at + 1
            self._steps += 1
        if self._steps > _STEPS:
            raise TooManyStepsError
        if number == len(items):
            return then(at)
        op, argument = items[number]
        rest: Then = lambda end: self._match(items, number + 1, end, then)  # noqa: E731
        if op in _REPEATS:
            return self._repeat(op, argument, at, rest)
        if op is c.SUBPATTERN:
            return self._match(argument, 0, at, rest)
        if op is c.ATOMIC_GROUP:
            end = self._first(argument, at)
            return end is not None and rest(end)
        if op is c.BRANCH:
            for way in argument:  # noqa: SIM110 - any() of a generator would take the C stack at each level
                if self._match(way, 0, at, rest):
                    return True
            return False
        if op is c.AT:
            return self._anchored(argument, at) and rest(at)
        back, inside = argument
        return (at >= back and self._first(inside, at - back) is not None) is (op is c.ASSERT) and rest(at)

    def _first(self, items: Items, at: int) -> int | None:
        ends: list[int] = []

        def ended(end: int) -> bool:
            ends.append(end)
            return True

        return ends[0] if self._match(items, 0, at, ended) else None

    def _anchored(self, kind: Any, at: int) -> bool:
        text, end = self._text, len(self._text)
        if kind in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
            return at == 0 or (bool(self._flags & re.MULTILINE) and kind is c.AT_BEGINNING and text[at - 1] == 10)
        if kind is c.AT_END_STRING:
            return at == end
        if kind is c.AT_END:
            return at == end or (text[at] == 10 and (at == end - 1 or bool(self._flags & re.MULTILINE)))
        before = at > 0 and _word(text[at - 1])
        after = at < end and _word(text[at])
        return (before != after) is (kind in (c.AT_BOUNDARY, c.AT_UNI_BOUNDARY))

    def _repeat(self, op: Any, argument: Any, at: int, rest: Then) -> bool:
        least, most, body = argument
        if op is c.POSSESSIVE_REPEAT:
            done = 0
            while done < most and (end := self._first(body, at)) is not None and (end > at or done < least):
                at, done = end, done + 1
            return done >= least and rest(at)

        def more(done: int, start: int, last: int) -> bool:
            again = done < most and (start > last or done <= least)
            onward: Then = lambda end: more(done + 1, end, start)  # noqa: E731
            if done < least:
                return self._match(body, 0, start, onward)
            if op is c.MIN_REPEAT:
                return rest(start) or (again and self._match(body, 0, start, onward))
            return (again and self._match(body, 0, start, onward)) or rest(start)

        return more(0, at, -1)


def _word(char: int) -> bool:
    return chr(char).isalnum() or char == 0x5F


def _takes(op: Any, argument: Any, char: int, flags: int) -> bool:
    if flags & _IGNORECASE and op in (c.LITERAL, c.NOT_LITERAL, c.IN):
        return any(
            _takes(op, argument, case, flags & ~_IGNORECASE)
            for case in {char, ord(chr(char).lower()), ord(chr(char).upper()[:1])}
        )
    if op is c.LITERAL:
        return bool(char == argument)
    if op is c.NOT_LITERAL:
        return bool(char != argument)
    if op is c.ANY:
        return bool(flags & _DOTALL) or char != 10
    if op is c.RANGE:
        return bool(argument[0] <= char <= argument[1])
    if op is c.CATEGORY:
        return _in_category(argument, char)
    assert op is c.IN, op
    negated = argument[0][0] is c.NEGATE
    return negated != any(_takes(one, what, char, flags) for one, what in argument[negated:])


def _in_category(category: Any, char: int) -> bool:
    name = str(category)
    found = {"DIGIT": chr(char).isdigit(), "SPACE": chr(char).isspace(), "WORD": _word(char)}[name.rpartition("_")[2]]
    return found != ("_NOT_" in name)


# --- inputs


def _characters(items: Any, flags: int) -> list[list[int]]:
    """Return, for each position of a pattern that matches one character, some that it matches."""
    found: list[list[int]] = []
    for op, argument in items:
        if op in _REPEATS:
            found += _characters(argument[2], flags)
        elif op is c.SUBPATTERN:
            found += _characters(argument[3], flags)
        elif op is c.ATOMIC_GROUP:
            found += _characters(argument, flags)
        elif op is c.BRANCH:
            for way in argument[1]:
                found += _characters(way, flags)
        elif op not in (c.AT, c.ASSERT, c.ASSERT_NOT):
            takes = (char for char in (*_OTHERS, *range(0x21, 0x7F)) if _takes(op, argument, char, flags))
            found.append(list(islice(takes, _CHARACTERS)) or [0x61])
    return found


def _shortest(items: Any, flags: int) -> list[int]:
    """Return a short text that the items match."""
    text: list[int] = []
    for op, argument in items:
        if op in _REPEATS:
            text += _shortest(argument[2], flags) * max(argument[0], 1)
        elif op is c.SUBPATTERN:
            text += _shortest(argument[3], flags)
        elif op is c.ATOMIC_GROUP:
            text += _shortest(argument, flags)
        elif op is c.BRANCH:
            text += _shortest(argument[1][0], flags)
        elif op not in (c.AT, c.ASSERT, c.ASSERT_NOT):
            text += _characters([(op, argument)], flags)[0][:1]
    return text


def _prefixes(items: Any, flags: int, before: list[int]) -> Iterator[list[int]]:
    """Yield texts that lead to each repeat of a pattern."""
    done: list[Any] = []
    for op, argument in items:
        here = before + _shortest(done, flags)
        if op in _REPEATS:
            yield here
            yield from _prefixes(argument[2], flags, here)
        elif op is c.SUBPATTERN:
            yield from _prefixes(argument[3], flags, here)
        elif op is c.BRANCH:
            for way in argument[1]:
                yield from _prefixes(way, flags, here)
        done.append((op, argument))


def hard_inputs(pattern: re.Pattern[Any], times: int) -> Iterator[list[int]]:
    """Yield texts that lead to a repeat, match it `times` times, and mostly fail at the end."""
    parsed = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    flags = int(parsed.state.flags)
    prefixes = {tuple(one) for one in _prefixes(parsed, flags, [])} | {()}
    places = _characters(parsed, flags)
    pumps: set[tuple[int, ...]] = {(char,) for place in places for char in place} | {(0x20,), (0x09,), (0x0A,)}
    pumps |= {tuple(one) for one in prefixes if 0 < len(one) <= 40}
    whole = tuple(_shortest(parsed, flags))
    pumps |= {whole[:40]} if whole else set()
    shapes = list(product(sorted(prefixes), sorted(pumps), ((0x80,), (0x0A, 0x21), ())))
    most = examples(MAX_INPUTS)
    if len(shapes) > most:  # the same ones at each call, so that two lengths can be compared
        shapes = random.Random(0).sample(shapes, most)
    for prefix, pump, end in shapes:
        yield [*prefix, *(pump * times), *end]
