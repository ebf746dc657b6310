"""Store of the newest plan, in memory and on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from headrace.agent.metrics import APPLIED_GENERATION, DISK_WRITES_FAILED, PLANS_REFUSED
from headrace.common.bus.plan_encryption import PlanUnreadableError
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan, PlannedKernel
from headrace.common.contracts.problems import MalformedMessage
from headrace.common.runtime.files import write_atomically

log = structlog.get_logger()


class Plans:
    """Store of the plan with the highest generation. It is on disk before anything acts on it.

    When the disk refuses the write, the plan is used all the same (it may stop what fills the disk), and the copy of
    the older plan is deleted: after a restart it would stop kernels that only the newer one has. save() tries again.
    """

    def __init__(
        self,
        path: Path,
        agent_id: str,
        on_new: Callable[[], None] = lambda: None,
        *,
        resolve: Callable[[NodePlan], Mapping[KernelId, KernelSpec]] = NodePlan.resolved,
    ) -> None:
        """`resolve`: returns a plan's kernels, decrypted; raises PlanUnreadableError."""
        self._path = path
        self._agent_id = agent_id
        self._resolve = resolve
        self.on_new = on_new
        self.newest: NodePlan | None = None
        """As it was received, also on disk: what was encrypted in it still is."""
        self.wanted: Mapping[KernelId, KernelSpec] | None = None
        """Kernels of the newest plan whose specs are known; None before the first plan."""
        self.unreadable: Mapping[KernelId, PlannedKernel] = {}
        """The other kernels of the newest plan, whose specs cannot be decrypted."""
        self.problem: str | None = None
        """Why they cannot."""
        self.confirmed = asyncio.Event()
        """Set once a plan came over the bus since the agent started."""
        self._saved = True

    @property
    def generation(self) -> int:
        """Highest generation received; 0 before the first."""
        return self.newest.generation if self.newest else 0

    def load(self) -> None:
        """Load the plan from disk. One that cannot be read counts as none: nothing is stopped then."""
        try:
            plan = NodePlan.decode(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, MalformedMessage) as error:
            log.warning("stored_plan_unreadable", error=str(error))
            return
        if plan.agent_id == self._agent_id:
            self._take(plan)

    def _take(self, plan: NodePlan) -> None:
        self.newest, self.unreadable, self.problem = plan, {}, None
        try:
            self.wanted = self._resolve(plan)
        except PlanUnreadableError as error:
            self.problem = str(error)
            self.wanted = {k.kernel_id: k for k in plan.kernels if isinstance(k, KernelSpec)}
            self.unreadable = {k.kernel_id: k for k in plan.kernels if isinstance(k, PlannedKernel)}
            log.warning("plan_unreadable", generation=plan.generation, kernels=len(self.unreadable), why=self.problem)
        APPLIED_GENERATION.set(plan.generation)

    @property
    def planned(self) -> Collection[KernelId] | None:
        """All kernels of the newest plan; None before the first plan."""
        return None if self.wanted is None else {*self.wanted, *self.unreadable}

    async def offer(self, plan: NodePlan) -> None:
        """Use `plan` if its generation is newer; the same one again confirms it, an older one is refused."""
        if plan.generation < self.generation:
            PLANS_REFUSED.inc()
            log.warning("plan_refused", generation=plan.generation, newest=self.generation)
            return
        if plan.generation > self.generation:
            self._take(plan)
            self._saved = False
            self.save()
            log.info("plan_applied", generation=plan.generation, kernels=len(plan.kernels))
            if plan.removed is not None:
                log.warning(
                    "machine_removed", why=plan.removed, effect="it stops its kernels, and its reports are refused"
                )
        elif self.confirmed.is_set():
            return
        self.confirmed.set()
        self.on_new()

    async def remove_machine(self, why: str) -> None:
        """Use an empty plan, since a manager says that the machine was removed; its bus, which would tell, refuses it.

        Should the machine join again, the manager's next plan has a higher generation than what it has applied.
        """
        if self.newest is None or self.newest.removed is None:
            await self.offer(NodePlan(agent_id=self._agent_id, generation=self.generation + 1, kernels=(), removed=why))

    def save(self) -> None:
        """Retry the write of the newest plan to disk; never raises for a disk error."""
        if self._saved or self.newest is None:
            return
        try:
            write_atomically(self._path, self.newest.encode())
        except OSError as error:
            DISK_WRITES_FAILED.inc()
            log.warning("plan_not_saved", generation=self.newest.generation, error=error.strerror)
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        else:
            self._saved = True
