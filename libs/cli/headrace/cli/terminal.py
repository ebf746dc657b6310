"""Colours, tables and lines in place on a terminal, by rich. Loaded only when there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "healthy": "green",
    "deployed": "green",
    "running": "green",
    "alive": "green",
    "ready": "green",
    "passed": "green",
    "degraded": "yellow",
    "deploying": "yellow",
    "pending": "yellow",
    "placed": "yellow",
    "draining": "yellow",
    "starting": "yellow",
    "stopping": "yellow",
    "restarting": "yellow",
    "unhealthy": "red",
    "failed": "red",
    "lost": "red",
    "down": "red",
}


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    Console().print(_pretty(headings, rows))


def line(text: str) -> None:
    """Print a line with its status words coloured."""
    Console(highlight=False, soft_wrap=True).print(_coloured(text))


@contextmanager
def live() -> Iterator[Callable[[Sequence[str]], None]]:
    """Yield a function that shows lines in place of those it showed before."""
    with Live(console=Console(highlight=False), refresh_per_second=8) as shown:
        yield lambda lines: shown.update(Text("\n").join(_coloured(text) for text in lines))


def _pretty(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold", no_wrap=False)
    for row in rows:
        made.add_row(*(Text(text, style=_COLOURS.get(text, "")) for text in row))
    return made


def _coloured(text: str) -> Text:
    shown = Text(text)
    for word, colour in _COLOURS.items():
        shown.highlight_regex(rf"(?<![\w-]){word}(?![\w-])", colour)
    return shown
