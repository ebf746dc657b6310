"""Pokes: the wake-ups of loops, by name.

They are made before the loops, so that whatever pokes one and whatever a loop needs can be made in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, get_args

from headrace.manager.usecases.ports import LoopName

LOOPS: Final[tuple[LoopName, ...]] = get_args(LoopName)


class LoopPokes:
    """One event per loop (the `Pokes` of the use cases). A poke that comes before its loop runs is kept for it."""

    def __init__(self) -> None:
        self._events: Mapping[str, asyncio.Event] = {name: asyncio.Event() for name in LOOPS}

    def poke(self, *names: LoopName) -> None:
        """Ask these loops to look soon."""
        for name in names:
            self._events[name].set()

    def event(self, name: LoopName) -> asyncio.Event:
        """Return the event that pokes of this loop set."""
        return self._events[name]
