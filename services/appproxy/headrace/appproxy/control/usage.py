"""Usage sender: callers' usage in numbered batches, on disk until a manager has stored them.

What workers have counted is written to disk every second, so that a crash of this process loses no more, and handed to a
manager every few. While none answers, counts of the same hour and caller are added up, so that disk and memory follow the
number of callers and hours, not that of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog

from headrace.appproxy.control import exposition
from headrace.appproxy.ipc.usage import UsageCounts, UsageSums
from headrace.appproxy.ipc.usage_files import UsageFiles, batch_of, file_name
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.ids import ProxyId, new_uuid
from headrace.common.contracts.messages.usage import MAX_ROWS, UsageBatch, UsageStored
from headrace.common.contracts.problems import BusUnavailable, MalformedMessage
from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
EVERY: Final = timedelta(seconds=1)
_SEND_EVERY_S: Final = 5.0
_ANSWER_S: Final = 5.0
_MAX_SENT_AT_ONCE: Final = 20
"""Batches from before that one pass sends."""
MAX_BATCHES: Final = 1000
"""Batches on disk, of up to MAX_ROWS rows; what is counted beyond is lost, and said."""
MAX_UNWRITTEN: Final = 5
"""Batches in memory while the disk takes none."""


class UsageSender:
    """Sender of usage, as a task. `collect` brings what an inline worker has counted into `sums`.

    Counts are added to the open batch, whose file is replaced every second. A batch is closed before it is sent: from then on it
    has its number and never changes, so that managers can tell a repeated one.
    """

    name = "usage"

    def __init__(
        self,
        *,
        proxy_id: ProxyId,
        bus: Bus,
        sums: UsageSums,
        collect: Callable[[], object],
        files: UsageFiles,
        monotonic: Monotonic,
    ) -> None:
        self._proxy_id = proxy_id
        self._bus = bus
        self._sums = sums
        self._collect = collect
        self._files = files
        self._monotonic = monotonic
        self._writer = new_uuid()
        self._open = UsageSums()
        self._sequence = 1
        """Number of the open batch."""
        self._changed = False
        """Whether the open batch has what its file has not."""
        self._unwritten: list[UsageBatch] = []
        """Closed batches that the disk has not."""
        self._on_disk = 0
        self._unanswered = False
        """Whether no manager has stored the last batch that was sent."""
        self._sent_s = monotonic() - _SEND_EVERY_S
        self._loop = Loop("usage", self.one_pass, every=EVERY, monotonic=monotonic)

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Write and send until stop(), and once more at the end; what is not acknowledged then is sent after the next start."""
        await self._loop.run()
        self._sent_s -= _SEND_EVERY_S
        await self.one_pass()

    async def one_pass(self) -> None:
        """Write what was counted since the last pass, and send what is due."""
        self._collect()
        self._add(self._sums.take())
        await self._write()
        now_s = self._monotonic()
        if self._bus.connected and now_s - self._sent_s >= _SEND_EVERY_S:
            self._sent_s = now_s
            if await self._send_older() and len(self._open):
                await self._send_open()
        exposition.USAGE_BATCHES.set(self._on_disk)

    def _add(self, counts: list[UsageCounts]) -> None:
        if not counts:
            return
        if self._on_disk >= MAX_BATCHES or len(self._unwritten) >= MAX_UNWRITTEN:
            requests = sum(one.requests for one in counts)
            exposition.USAGE_LOST.inc(requests)
            log.error("usage_lost", requests=requests, batches=self._on_disk, unwritten=len(self._unwritten))
            return
        self._open.add(counts)
        self._changed = True
        while len(self._open) > MAX_ROWS:
            self._unwritten.append(self._close())

    def _close(self) -> UsageBatch:
        """Close the open batch and begin the next one with the rows beyond MAX_ROWS."""
        batch = self._batch(self._open.take(MAX_ROWS))
        self._sequence += 1
        return batch

    async def _write(self) -> None:
        """Write what the disk has not. A disk that takes nothing is tried again by the next pass."""
        if not (self._changed or self._unwritten):
            return
        try:
            while self._unwritten:
                await asyncio.to_thread(self._files.write, self._unwritten[0])
                del self._unwritten[0]
            await asyncio.to_thread(self._files.write, self._batch(self._open.values()))
            self._changed = False
            self._on_disk = len(await asyncio.to_thread(self._files.names))
        except OSError as error:
            log.warning("usage_not_written", why=error.strerror or str(error))

    async def _send_older(self) -> bool:
        """Send batches that were closed before, oldest first; return whether a manager has all of them."""
        names = await asyncio.to_thread(self._files.names)
        older = [name for name in names if name != file_name(self._writer, self._sequence)]
        for name in older[:_MAX_SENT_AT_ONCE]:
            batch = await asyncio.to_thread(self._files.read, name)
            if batch is not None and not await self._send(batch):
                return False
        if older[_MAX_SENT_AT_ONCE:]:
            self._sent_s -= _SEND_EVERY_S  # the next pass goes on
            return False
        while self._unwritten:
            if not await self._send(self._unwritten[0]):
                return False
            del self._unwritten[0]
        return True

    async def _send_open(self) -> None:
        """Close the open batch, and send it. What the disk has not is kept first: a pass may be cancelled."""
        written = not self._changed
        batch = self._close()
        self._changed = False
        if not written:
            self._unwritten.append(batch)
        if await self._send(batch) and not written:
            self._unwritten.remove(batch)

    async def _send(self, batch: UsageBatch) -> bool:
        """Send a closed batch; return whether a manager has stored it. Its file is removed then."""
        try:
            await ask(self._bus, batch, UsageStored, timeout_s=_ANSWER_S)
        except (BusUnavailable, MalformedMessage) as problem:
            if not self._unanswered:  # said once, not every few seconds for as long as it lasts
                log.warning("usage_not_acknowledged", why=problem.detail)
            self._unanswered = True
            return False
        if self._unanswered:
            log.info("usage_acknowledged")
        self._unanswered = False
        try:
            await asyncio.to_thread(self._files.remove, batch)
            self._on_disk = max(0, self._on_disk - 1)
        except OSError as error:  # managers know its number when it is sent again
            log.warning("usage_not_removed", why=error.strerror or str(error))
        return True

    def _batch(self, rows: list[UsageCounts]) -> UsageBatch:
        return batch_of(self._proxy_id, self._writer, self._sequence, rows)
