"""Measuring loop: walks folders in turn to correct their counted usage.

Containers write files uncounted, and a crash loses counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain import storage_usage
from headrace.manager.domain.records.folders import DueFolder
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.measuring import UsageWalk
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.metrics import FOLDERS_MEASURED
from headrace.manager.store import folders

log = structlog.get_logger()
BUSY = timedelta(minutes=10)
"""Delay of the next walk of a folder that a request was changing as its walk ended."""
_FORGOTTEN_AT_ONCE = 1000
PASS_S = 10.0
"""Duration of a pass, after which the next one continues the walk."""


class MeasuringLoop:
    """Reads folders' files; corrects their counted usage. Each of several managers takes another folder."""

    def __init__(
        self,
        pool: Pool,
        storage: FolderStorage,
        poke: Callable[..., None],
        *,
        every: timedelta,
        busy: timedelta = BUSY,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._poke = poke
        self._every = every
        self._busy = busy
        self._monotonic = monotonic
        self._now: tuple[DueFolder, UsageWalk] | None = None

    async def one_pass(self) -> None:
        """Continue the walk in progress, or start one of the next folder that is due."""
        if self._now is None:
            async with transaction(self._pool) as con:
                await folders.drop_stale_reservations(con, limit=_FORGOTTEN_AT_ONCE)
                due = await folders.next_to_measure(con, self._every)
            if due is None:
                return
            snapshots = await self._storage.call(partial(self._storage.snapshots.trees, due.id))
            self._now = due, UsageWalk(self._storage.tree(due.id), snapshots)
        due, walk = self._now
        try:
            ended = await self._some(walk)
        except (NotFound, Conflict) as problem:  # deleted meanwhile
            log.info("folder_not_measured", folder=str(due.id), why=problem.detail)
            ended = None
        except BaseException:
            self._now = None
            self._storage.let_go(walk)
            raise
        if ended:
            await self._tell(due, walk)
        if ended is not False:
            self._now = None
            await self._storage.close(walk)
        self._poke("measuring")

    async def _some(self, walk: UsageWalk) -> bool:
        ends = self._monotonic() + PASS_S
        while await self._storage.call(walk.step):
            if self._monotonic() > ends:
                return False
        return True

    async def _tell(self, due: DueFolder, walk: UsageWalk) -> None:
        by = StorageUsage()
        async with transaction(self._pool) as con:
            meanwhile = await folders.since(con, due)
            if meanwhile is None:
                await folders.measure_again(con, due.id, self._every, self._busy)
            elif by := storage_usage.correction(due.counted, walk.found, meanwhile):
                await folders.correct(con, due.id, by)
        FOLDERS_MEASURED.labels("corrected" if by else "busy" if meanwhile is None else "as-counted").inc()
        if by:
            log.info("folder_corrected", folder=str(due.id), bytes=by.bytes, files=by.files)
