"""All loops of a manager, and the pokes between them."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import structlog

from headrace.common.bus.connect import Bus
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clock
from headrace.common.runtime.loop import Loop
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.inbox.app_proxies import Proxies
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.housekeeping import Housekeeping, Kept
from headrace.manager.loops.measuring import Measuring
from headrace.manager.loops.placement import Placing
from headrace.manager.loops.publishing import Publishing
from headrace.manager.loops.receipts import Receipts
from headrace.manager.loops.services import Services
from headrace.manager.store import tables

log = structlog.get_logger()
STUCK_S = 60.0
AGENTS_EVERY = timedelta(seconds=0.5)
"""A lost machine is to be replaced within 10 s, of which `lost_after` takes most."""

HOUSEKEEPING_EVERY = timedelta(minutes=1)
REST = 1.0
"""A loop that is poked all the time works at most half of it, so that what comes meanwhile is handled in one pass."""
NOT_NEEDED = frozenset({"housekeeping", "measuring"})
"""Loops without which everything else is well."""


class Loops:
    """Builds the loops, runs them as one Task, and takes pokes by name (the `Pokes` of the use cases)."""

    name = "loops"

    def __init__(self) -> None:
        self._loops: dict[str, Loop] = {}

    def build(
        self,
        pool: Pool,
        bus: Bus,
        proxies: Proxies,
        agents: AgentLiveness,
        clock: Clock,
        *,
        every: timedelta,
        verify: timedelta,
        kept: Kept,
        storage: FolderStorage | None = None,
        measure: timedelta = timedelta(days=1),
    ) -> None:
        """Make the loops. Pokes before this are lost, which costs one period."""
        services = Services(pool, proxies, clock, self.poke, every=every)
        placing = Placing(pool, clock, self.poke)
        receipts = Receipts(pool, proxies, clock)
        plans = Publishing(pool, bus, NodePlan, tables.Plans(), verify=verify)
        routes = Publishing(pool, bus, RouteTable, tables.Routes(), verify=verify, claimed=proxies.claimed)
        rules = Publishing(pool, bus, RuleTable, tables.Rules(), verify=verify)
        passes = {
            "services": services.one_pass,
            "placement": placing.one_pass,
            "plans": plans.one_pass,
            "routes": routes.one_pass,
            "rules": rules.one_pass,
            "agents": agents.one_pass,
            "receipts": receipts.one_pass,
            "housekeeping": Housekeeping(pool, self.poke, kept).one_pass,
        }
        if storage is not None:
            passes["measuring"] = Measuring(pool, storage, self.poke, every=measure).one_pass
        periods = {
            "agents": min(every, AGENTS_EVERY),
            "housekeeping": HOUSEKEEPING_EVERY,
            "measuring": HOUSEKEEPING_EVERY,
        }
        self._loops = {
            name: Loop(name, one_pass, every=periods.get(name, every), rest=REST) for name, one_pass in passes.items()
        }

    def poke(self, *names: str) -> None:
        """Ask these loops to look soon."""
        for name in names:
            if name in self._loops:
                self._loops[name].poke()

    def stop(self) -> None:
        """Let each pass in hand finish."""
        for loop in self._loops.values():
            loop.stop()

    async def run(self) -> None:
        """Run all loops until stop()."""
        async with asyncio.TaskGroup() as group:
            for loop in self._loops.values():
                group.create_task(loop.run(), name=f"loop {loop.name}")

    def check(self) -> str | None:
        """Readiness: None when every loop has had a pass that ended well within the last minute, or which has not."""
        now = time.monotonic()
        stuck = [
            name
            for name, loop in self._loops.items()
            if name not in NOT_NEEDED and (loop.last_success is None or now - loop.last_success > STUCK_S)
        ]
        return f"no good pass lately: {', '.join(stuck)}" if stuck else None
