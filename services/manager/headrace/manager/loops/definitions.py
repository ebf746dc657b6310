"""Definitions loop: reads the definition files of folders that have changed, for the model store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from headrace.common.contracts.problems import Problem
from headrace.common.runtime.clock import Monotonic
from headrace.manager.usecases.definition_reader import DefinitionReader

log = structlog.get_logger()
PASS_S: Final = 10.0
"""Duration of a pass, after which the next one goes on."""


class DefinitionsLoop:
    """Reads definition files of model folders, a folder at a time. Writes the rows of the model store.

    Each of several managers takes another folder.
    """

    def __init__(
        self, reader: DefinitionReader, poke: Callable[..., None], *, monotonic: Monotonic = time.monotonic
    ) -> None:
        self._reader = reader
        self._poke = poke
        self._monotonic = monotonic

    async def one_pass(self) -> None:
        """Read folders until none is due, the pass is over, or one cannot be read: that is tried again ten minutes later."""
        ends = self._monotonic() + PASS_S
        try:
            while await self._reader.read_next():
                if self._monotonic() > ends:
                    self._poke("definitions")
                    return
        except Problem as problem:
            log.warning("definitions_not_read", why=problem.detail)
