"""Log streaming over the bus: tail and follow of kernels' logs, with backpressure from the reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

import structlog
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from headrace.agent.archive import LogArchive
from headrace.agent.domain.streams import StreamOwner, refusal
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.metrics import LOG_STREAMS
from headrace.agent.runtime.interface import Runtime, RuntimeUnavailable
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.logs import LogChunk, LogsAccepted, LogsRequest
from headrace.common.text.loglines import LinesSince

log = structlog.get_logger()
_CHUNK_LINES = 200
_CHUNK_CHARACTERS = 60_000
"""At most 240 KB as UTF-8."""
_ACKNOWLEDGED_S = 15.0
_POLL_S = 0.2
_LOOKS_PER_SIGN = 50
"""Idle polls of a log until an empty chunk checks whether the reader is still there: 10 s."""


class LogServer:
    """Server of LogsRequest, which streams log chunks. `run()` owns the open streams."""

    name = "logs"

    def __init__(self, bus: Bus, agent_id: str, runtime: Runtime, table: KernelRegistry, archive: LogArchive) -> None:
        self._bus = bus
        self._own = LogChunk.subject_for(agent_id=agent_id, reader="")
        self._runtime = runtime
        self._table = table
        self._archive = archive
        self._streams: dict[asyncio.Task[None], StreamOwner] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Make run() return, and end all streams."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until stop()."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._stop.wait()
            self._group = None
            for stream in self._streams:
                stream.cancel()

    async def answer(self, request: LogsRequest) -> LogsAccepted:
        """Start a stream, or refuse with the reason."""
        if not request.reply_to.startswith(self._own) or any(c in request.reply_to for c in "*> \t\r\n"):
            return LogsAccepted(accepted=False, detail=f"reply_to must begin with {self._own}")
        batches = await self._open(request)
        if batches is None:
            return LogsAccepted(
                accepted=False, detail=f"kernel {request.kernel_id} is not on this machine, and no log of it is kept"
            )
        # From here to the new stream nothing is awaited: of many who ask at once no more than allowed begin.
        owner = self._owner(request.kernel_id)
        if self._group is None:
            return LogsAccepted(accepted=False, detail="the agent is ending")
        refused = refusal(self._streams.values(), owner)
        if refused is not None:
            return LogsAccepted(accepted=False, detail=refused.words, found=refused.found, allowed=refused.allowed)
        stream = self._group.create_task(self._send(request, batches), name=f"logs-{request.kernel_id}")
        self._streams[stream] = owner
        stream.add_done_callback(self._streams.pop)
        return LogsAccepted(accepted=True)

    def _owner(self, kernel_id: KernelId) -> StreamOwner:
        record = self._table.records.get(kernel_id)
        if record is None:
            return StreamOwner(kernel_id, None)
        return StreamOwner(record.spec.service_id or record.spec.session_id, record.spec.project_id)

    async def _open(self, request: LogsRequest) -> AsyncGenerator[Sequence[str], None] | None:
        kernel_id = request.kernel_id
        if kernel_id in self._table.records or kernel_id in self._table.seen:
            return from_time(self._live(kernel_id, request.tail, follow=request.follow), request.since)
        kept = await asyncio.to_thread(self._archive.lines, kernel_id)
        return None if kept is None else from_time(_once(_last(kept, request.tail)), request.since)

    async def _live(
        self, kernel_id: KernelId, tail: int | None, *, follow: bool
    ) -> AsyncGenerator[Sequence[str], None]:
        """Yield the log of the pre-start actions, then the program's, together the last `tail` lines."""
        prestart = self._table.prestart_log(kernel_id)
        shown = looks = 0
        while follow and self._table.busy.get(kernel_id) == "start":
            lines = prestart.lines()
            if len(lines) > shown or looks % _LOOKS_PER_SIGN == 0:
                yield lines[shown:]
            shown, looks = len(lines), looks + 1
            await asyncio.sleep(_POLL_S)  # a file tells nobody that it grew
        before = prestart.lines()[shown:]
        if before and tail is not None:
            # How many lines the program has said by now decides how many of those before it still count.
            said = 0
            async with aclosing(self._runtime.logs(kernel_id, tail=tail, follow=False)) as batches:
                async for batch in batches:
                    said += len(batch)
            before = _last(before, max(0, tail - said))
        yield before
        async with aclosing(self._runtime.logs(kernel_id, tail=tail, follow=follow)) as batches:
            async for batch in batches:
                yield batch

    async def _send(self, request: LogsRequest, batches: AsyncGenerator[Sequence[str], None]) -> None:
        with LOG_STREAMS.track_inprogress():
            sequence = 0
            error: str | None = None
            try:
                async with aclosing(batches):
                    async for batch in batches:
                        for lines in chunks(batch):
                            await self._deliver(request.reply_to, LogChunk(sequence=sequence, lines=lines))
                            sequence += 1
            except RuntimeUnavailable as problem:
                error = problem.detail
            except NoRespondersError:
                return  # the reader has left
            except (NatsError, TimeoutError, OSError) as broken:
                log.info(
                    "log_stream_disconnected",
                    kernel_id=str(request.kernel_id),
                    error=str(broken) or type(broken).__name__,
                )
                return
            except Exception:  # the stream's boundary: one log must not take the agent down
                log.exception("log_stream_failed", kernel_id=str(request.kernel_id))
                error = "the agent could not read it; its own log says more"
            await self._finish(request.reply_to, LogChunk(sequence=sequence, eof=True, error=error))

    async def _finish(self, subject: str, chunk: LogChunk) -> None:
        try:
            await self._deliver(subject, chunk)
        except (NatsError, TimeoutError, OSError):
            log.info("log_end_not_sent", subject=subject)

    async def _deliver(self, subject: str, chunk: LogChunk) -> None:
        await self._bus.client.request(subject, chunk.encode(), timeout=_ACKNOWLEDGED_S)


def chunks(lines: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield `lines` in chunks of bounded size; no lines yield one empty chunk, which checks that the reader is still there."""
    piece: list[str] = []
    size = 0
    for line in lines:
        if piece and (len(piece) >= _CHUNK_LINES or size + len(line) > _CHUNK_CHARACTERS):
            yield tuple(piece)
            piece, size = [], 0
        piece.append(line[:_CHUNK_CHARACTERS])
        size += len(piece[-1])
    yield tuple(piece)


def _last(lines: Sequence[str], tail: int | None) -> list[str]:
    return list(lines) if tail is None else list(lines[max(0, len(lines) - tail) :])


async def _once(lines: Sequence[str]) -> AsyncGenerator[Sequence[str], None]:
    yield lines


async def from_time(
    batches: AsyncGenerator[Sequence[str], None], since: str | None
) -> AsyncGenerator[Sequence[str], None]:
    """Yield the batches, with only the lines from `since` on."""
    late = LinesSince(since and since.removesuffix("Z"))
    async with aclosing(batches):
        async for batch in batches:
            yield list(late.of(batch))
