"""Pokes: wake-ups of loops, by name.

They are constructed before the loops, so that whatever pokes one and whatever a loop needs can be constructed in
between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, get_args

from headrace.manager.usecases.ports import LoopName

LOOPS: Final[tuple[LoopName, ...]] = get_args(LoopName)


class LoopPokes:
    """One event per loop (the `Pokes` of the use cases). A poke before its loop runs is kept."""

    def __init__(self) -> None:
        self._events: Mapping[str, asyncio.Event] = {name: asyncio.Event() for name in LOOPS}

    def poke(self, *names: LoopName) -> None:
        """Request a pass of these loops soon."""
        for name in names:
            self._events[name].set()

    def event(self, name: LoopName) -> asyncio.Event:
        """Return the event that a poke of this loop sets."""
        return self._events[name]
