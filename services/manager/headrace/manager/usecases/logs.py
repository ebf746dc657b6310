"""Use cases of logs: of replicas and of trial runs, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from headrace.common.contracts.ids import KernelId, ServiceId, SessionId
from headrace.common.contracts.problems import NotFound, Problem
from headrace.common.db.pool import Connection, Pool
from headrace.common.runtime.clock import Clock
from headrace.common.text.loglines import LinesSince
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.replicas import Replica
from headrace.manager.store import services
from headrace.manager.usecases.context import as_id, service_for
from headrace.manager.usecases.log_follower import LOOK_AGAIN_S, LogFollower, LogRange, closing, note, utc
from headrace.manager.usecases.ports import LogReader
from headrace.manager.usecases.validations import trial_run

Write: TypeAlias = Callable[[str], Awaitable[None]]
MAX_ENDED_KERNELS = 20
"""Bound on replicas ended since, whose remaining log is returned."""


@dataclass(frozen=True)
class LogSource:
    """Source of logs: the replicas found at first, and the service that may get more. `whole`: lines name their replica."""

    replicas: tuple[Replica, ...]
    service_id: ServiceId | None
    whole: bool


class Logs:
    """Use cases of logs. Look-up comes first, so that an error is an answer; copy() then streams."""

    def __init__(self, pool: Pool, reader: LogReader, clock: Clock) -> None:
        self._pool = pool
        self._reader = reader
        self._clock = clock

    async def of_service(
        self, actor: Actor, reference: str, replica: UUID | None, *, since: datetime | None = None
    ) -> LogSource:
        """Return the logs of one replica, or of all live ones (of the last one, when none is live).

        With `since` also those that ended from then on, the newest MAX_ENDED_KERNELS. Raises NotFound.
        """
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            service_id = facts.service.id
            if replica is not None:
                found = await services.replica(con, replica, service_id)
                if found is None:
                    raise NotFound(f"service {facts.service.name} has no replica {replica}")
                return LogSource((found,), service_id, whole=False)
            ended = [] if since is None else await services.ended_since(con, service_id, since, limit=MAX_ENDED_KERNELS)
            gone = [await services.replica(con, session_id, service_id) for session_id in ended]
            live = (await services.replicas(con, [service_id]))[service_id]
            found_all = [*(replica for replica in gone if replica is not None), *live]
            return LogSource(tuple(found_all or await self._last(con, service_id)), service_id, whole=True)

    async def _last(self, con: Connection, service_id: ServiceId) -> list[Replica]:
        session_id = await services.last_ended(con, service_id)
        last = await services.replica(con, session_id, service_id) if session_id else None
        return [last] if last else []

    async def of_validation(self, actor: Actor, reference: str) -> LogSource:
        """Return the log of a trial run. Raises NotFound."""
        async with self._pool.acquire() as con:
            session_id = as_id(reference, "validation")
            await trial_run(con, actor, session_id, "viewer")
            found = await services.replica(con, session_id, None)
        return LogSource((found,) if found else (), None, whole=False)

    def check(self) -> None:
        """Raise BusUnavailable while no log can be read. Call it before following, whose errors are only lines."""
        self._reader.check()

    async def copy(
        self, source: LogSource, write: Write, *, tail: int | None, follow: bool, since: datetime | None = None
    ) -> None:
        """Write the last `tail` lines (None: all kept), from `since` on, by time, then with `follow` new ones.

        A log that cannot be read becomes a line among several, and when it is followed; alone it raises the reader's
        error.
        """
        part = LogRange(tail, None if since is None else utc(since))
        if follow:
            await self._follow(source, write, part)
        else:
            await self._merge(source, write, part)

    async def _merge(self, source: LogSource, write: Write, part: LogRange) -> None:
        readers: list[AsyncIterator[str]] = [self._once(source, r, part) for r in source.replicas]
        async with AsyncExitStack() as stack:
            for reader in readers:
                await stack.enter_async_context(closing(reader))
            heads = [(await anext(reader, None), index) for index, reader in enumerate(readers)]
            waiting = [(line, index) for line, index in heads if line is not None]
            while waiting:
                line, index = min(waiting, key=lambda item: (item[0].partition(" ")[0], item[1]))
                await write(self._shown(source, source.replicas[index], line))
                waiting.remove((line, index))
                following = await anext(readers[index], None)
                if following is not None:
                    waiting.append((following, index))

    async def _once(self, source: LogSource, replica: Replica, part: LogRange) -> AsyncIterator[str]:
        try:
            if replica.agent_id is None or replica.kernel_id is None:
                raise NotFound(f"{replica.id} has no log yet: {replica.reason_text}")
            lines = self._lines(replica.agent_id, replica.kernel_id, part, follow=False)
            async with closing(lines):
                async for line in lines:
                    if line:
                        yield line
        except Problem as problem:
            if not source.whole:
                raise
            yield note(self._clock(), f"log cannot be read: {problem.detail}")

    async def _follow(self, source: LogSource, write: Write, part: LogRange) -> None:
        """Follow the replicas found at first and, for a whole service, later ones, until the service is gone."""
        lock = asyncio.Lock()

        async def one(replica: Replica) -> None:
            async def write_alone(line: str) -> None:
                async with lock:
                    await write(self._shown(source, replica, line))

            following = LogFollower(self._pool, self._lines, write_alone, self._clock)
            await following.run(replica, source.service_id, part)

        if not source.whole:
            for replica in source.replicas:
                await one(replica)
            return
        async with asyncio.TaskGroup() as group:
            seen: set[SessionId] = set()
            replicas: Sequence[Replica] | None = source.replicas
            while replicas is not None:
                for replica in replicas:
                    if replica.id not in seen:
                        seen.add(replica.id)
                        group.create_task(one(replica))
                await asyncio.sleep(LOOK_AGAIN_S)
                replicas = await self._live(source.service_id)

    async def _live(self, service_id: ServiceId | None) -> Sequence[Replica] | None:
        """Return the live replicas, None when the service is gone."""
        if service_id is None:
            return None
        async with self._pool.acquire() as con:
            if not await services.exists(con, service_id):
                return None
            return (await services.replicas(con, [service_id]))[service_id]

    async def _lines(
        self, agent_id: str, kernel_id: KernelId, part: LogRange, *, follow: bool
    ) -> AsyncGenerator[str, None]:
        late = LinesSince(part.since and part.since.removesuffix("Z"))  # an agent of an earlier version sends all
        lines = self._reader.lines(agent_id, kernel_id, tail=part.tail, since=part.since, follow=follow)
        async with closing(lines):
            async for line in lines:
                for counted in late.of((line,)) if line else ("",):
                    yield counted

    def _shown(self, source: LogSource, replica: Replica, line: str) -> str:
        return f"{replica.id} {line}" if source.whole else line
