"""Output of commands: tables and facts for people, JSON for programs.

Results go to standard output, all else to standard error, so that a pipe gets results only.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, TextIO, TypeVar

from headrace.cli.text import cell, clean


class Printable(Protocol):
    """Object with a JSON form: the contract models."""

    def model_dump_json(self) -> str:
        """Return the JSON text."""


M = TypeVar("M", bound=Printable)
Columns = Sequence[tuple[str, Callable[[M], object]]]
"""Heading, and the function that returns the value of an item."""

_COUNTDOWN = re.compile(r"\bin \d+ s\b")


class Output:
    """Output of one command. `as_json` is set by `--json`, wherever it stands on the command line."""

    def __init__(self) -> None:
        self.as_json = False

    def table(self, items: Iterable[M], columns: Columns[M], *, empty: str) -> None:
        """Print a list as a JSON array or a table; `empty` is printed (on standard error) if there is nothing."""
        found = list(items)
        if self.as_json:
            sys.stdout.write(_array(found))
            return
        if not found:
            self.note(empty)
            return
        headings = [heading for heading, _ in columns]
        rows = [[cell(read(item)) for _, read in columns] for item in found]
        if sys.stdout.isatty():
            _terminal().table(headings, rows)
        else:
            sys.stdout.write(_plain(headings, rows))

    def facts(self, item: Printable, facts: Iterable[tuple[str, object]]) -> None:
        """Print one object as JSON, or its facts, one per line."""
        if self.as_json:
            self.record(item)
            return
        pairs = [(name, cell(value)) for name, value in facts]
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            self.line(f"{name:<{width}}  {value}")

    def record(self, item: Printable | dict[str, Any]) -> None:
        """Print one JSON document in one line."""
        text = json.dumps(item, default=str) if isinstance(item, dict) else item.model_dump_json()
        self._write(text)

    def done(self, text: str, **facts: object) -> None:
        """Print that an action without a result is done: a sentence, or `facts` as JSON."""
        if self.as_json:
            self.record(facts)
        else:
            self.line(clean(text))

    def line(self, text: str) -> None:
        """Print a line for people; its status words are coloured on a terminal."""
        if self.as_json:
            return
        if sys.stdout.isatty():
            _terminal().line(text)
        else:
            self._write(text)

    def raw(self, text: str) -> None:
        """Print a log line unchanged."""
        self._write(text)

    def note(self, text: str) -> None:
        """Print a remark on standard error."""
        if not self.as_json:
            sys.stderr.write(clean(text) + "\n")
            sys.stderr.flush()

    @contextmanager
    def live(self) -> Iterator[Callable[[Sequence[str]], None]]:
        """Yield a function that shows lines in place; without a terminal it prints new lines only."""
        if self.as_json:
            yield lambda _lines: None
        elif sys.stdout.isatty():
            with _terminal().live() as show:
                yield show
        else:
            yield Changes(self._write).show

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


class Changes:
    """Prints only lines that were not printed the last time; a changed countdown alone makes no new line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._shown: frozenset[str] = frozenset()

    def show(self, lines: Sequence[str]) -> None:
        """Print the new lines of `lines`."""
        for line in lines:
            if _COUNTDOWN.sub("in a while", line) not in self._shown:
                self._write(line)
        self._shown = frozenset(_COUNTDOWN.sub("in a while", line) for line in lines)


def interactive(*streams: TextIO) -> bool:
    """Return True if all of `streams` are terminals."""
    return all(stream.isatty() for stream in streams)


def _array(items: Sequence[Printable]) -> str:
    if not items:
        return "[]\n"
    return "[\n" + ",\n".join(item.model_dump_json() for item in items) + "\n]\n"


def _plain(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    table = [list(headings), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    lines = ("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in table)
    return "\n".join(lines) + "\n"


def _terminal() -> ModuleType:
    """Return the terminal renderer; pipes and JSON do not load it."""
    return import_module("headrace.cli.terminal")
