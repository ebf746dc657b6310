"""Churn of replicas: killed, drained, cut and added, announced to the proxy by route tables as the manager does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Literal, Protocol

from headrace.common.contracts.ids import SessionId, new_uuid
from headrace.common.contracts.messages.routes import Route, RouteTable
from headrace.common.runtime.clock import utc_now
from tests.support.wait import eventually

Deed = Literal["add", "kill", "drain", "cut"]
CUT_AFTER = timedelta(seconds=0.5)
NOTICED_AFTER_S = 0.3
"""How long a killed replica stays in the table: the manager hears of it later than the proxy feels it."""


class ReplicaHandle(Protocol):
    """A running replica."""

    port: int

    def kill(self) -> None:
        """Kill it (no shutdown)."""

    async def stop(self) -> None:
        """Shut it down, and clean up."""


class Churn:
    """Replicas of one service: at most `most` serve, and at least three less.

    `idle` returns whether the proxy has no open request on a draining one.
    """

    def __init__(
        self,
        table: RouteTable,
        *,
        make: Callable[[], Awaitable[ReplicaHandle]],
        publish: Callable[[RouteTable], Awaitable[None]],
        idle: Callable[[SessionId], bool],
        chance: Random,
        most: int,
    ) -> None:
        self.table = table
        self.deeds: Counter[Deed] = Counter()
        self.left: set[SessionId] = set()
        """Replicas that drained or died: each has a receipt."""
        self._make = make
        self._publish = publish
        self._idle = idle
        self._chance = chance
        self._most = most
        self._round: list[Deed] = []
        self._live: dict[SessionId, Route] = {}
        self._draining: dict[SessionId, Route] = {}
        self._parts: dict[SessionId, ReplicaHandle] = {}

    async def begin(self) -> None:
        """Start the maximum number of replicas, and publish them."""
        for _ in range(self._most):
            await self._add()
        await self._tell()

    async def step(self) -> None:
        """Do one random action, and remove drained replicas."""
        deed = self._next()
        self.deeds[deed] += 1
        if deed == "add":
            await self._add()
        else:
            session_id = self._chance.choice(list(self._live))
            route = self._live.pop(session_id)
            self.left.add(session_id)
            if deed == "kill":
                self._parts[session_id].kill()
                await asyncio.sleep(NOTICED_AFTER_S)
                await self._parts.pop(session_id).stop()
            else:
                until = utc_now() + CUT_AFTER if deed == "cut" else None
                self._draining[session_id] = route.model_copy(update={"state": "draining", "drain_until": until})
        await self._tell()
        await self._take_out()

    async def end(self) -> None:
        """Drain the remaining replicas, and stop them."""
        self.left |= self._live.keys()
        self._draining |= {key: r.model_copy(update={"state": "draining"}) for key, r in self._live.items()}
        self._live.clear()
        await self._tell()

        async def all_out() -> bool:
            await self._take_out()
            return not self._draining

        await eventually(all_out, within_s=60)

    def _next(self) -> Deed:
        if not self._round:
            self._round = ["kill", "drain", "cut", "add", "add", "add"]
            self._chance.shuffle(self._round)
        deed = next(deed for deed in self._round if deed != "add" or len(self._live) < self._most)
        self._round.remove(deed)
        return deed

    async def _add(self) -> None:
        part = await self._make()
        session_id = SessionId(new_uuid())
        self._parts[session_id] = part
        self._live[session_id] = Route(
            session_id=session_id,
            revision_id=self.table.routes[0].revision_id if self.table.routes else new_uuid(),
            host="127.0.0.1",
            port=part.port,
            health="healthy",
        )

    async def _take_out(self) -> None:
        drained = [session_id for session_id in self._draining if self._idle(session_id)]
        for session_id in drained:
            del self._draining[session_id]
        if drained:
            await self._tell()
        for session_id in drained:
            await self._parts.pop(session_id).stop()

    async def _tell(self) -> None:
        routes = (*self._live.values(), *self._draining.values())
        more = {"generation": self.table.generation + 1, "routes": routes, "wanted": len(self._live)}
        self.table = self.table.model_copy(update=more)
        await self._publish(self.table)
