"""The newest plan, in memory and on disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from headrace.agent.metrics import APPLIED_GENERATION, PLANS_REFUSED
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.problems import MalformedMessage

log = structlog.get_logger()


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace `path`, mode 0600; a crash leaves the old or the new. `durable`: also a crash of the machine."""
    new = path.with_name(f".{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(fd)
    new.replace(path)


class Plans:
    """Keeps the plan of the highest generation. It is on disk before anything acts on it."""

    def __init__(self, path: Path, agent_id: str, on_new: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._agent_id = agent_id
        self.on_new = on_new
        self.newest: NodePlan | None = None
        self.confirmed = asyncio.Event()
        """Set once a plan came over the bus since the agent started."""

    @property
    def generation(self) -> int:
        """Highest generation seen; 0 before the first."""
        return self.newest.generation if self.newest else 0

    def load(self) -> None:
        """Take the plan from disk. One that cannot be read counts as none: nothing is stopped then."""
        try:
            plan = NodePlan.decode(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, MalformedMessage) as error:
            log.warning("stored_plan_unreadable", error=str(error))
            return
        if plan.agent_id == self._agent_id:
            self.newest = plan
            APPLIED_GENERATION.set(plan.generation)

    async def offer(self, plan: NodePlan) -> None:
        """Take `plan` if it is newer than all before; the same one again confirms it, an older one is refused."""
        if plan.generation < self.generation:
            PLANS_REFUSED.inc()
            log.warning("plan_refused", generation=plan.generation, newest=self.generation)
            return
        if plan.generation > self.generation:
            write_whole(self._path, plan.encode(), durable=True)
            self.newest = plan
            APPLIED_GENERATION.set(plan.generation)
            log.info("plan_taken", generation=plan.generation, kernels=len(plan.kernels))
        elif self.confirmed.is_set():
            return
        self.confirmed.set()
        self.on_new()
