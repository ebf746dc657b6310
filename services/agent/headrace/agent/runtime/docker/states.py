"""Kernel states from container states: created, running or exited, and the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headrace.agent.domain.kernels import Phase, SeenKernel
from headrace.agent.runtime.docker.container import LABEL, Image
from headrace.agent.runtime.docker.engine import Engine, EngineError
from headrace.agent.runtime.docker.shell import ContainerShell
from headrace.common.contracts.ids import KernelId, ServiceId, SessionId
from headrace.common.contracts.reasons import MAX_QUOTED, Reason
from headrace.common.contracts.reasons.kernel import KernelReason


class ContainerStates:
    """Cache per container id of facts that do not change, and of those that only the engine's events carry."""

    def __init__(self, engine: Engine, host: str) -> None:
        self._engine = engine
        self._host = host
        self._ended: dict[str, tuple[int | None, Reason | None]] = {}
        """Exit code and cause of each exited container, inspected once."""
        self._dying: set[str] = set()
        """Containers with a `die` event."""
        self._out_of_memory: set[str] = set()
        """Containers with an `oom` event, which may come before or after the exit itself."""
        self._released: set[str] = set()
        """Containers whose gate is known to be open."""

    def on_event(self, action: str | None, container: str) -> None:
        """Handle an engine event."""
        if action == "die":
            self._dying.add(container)
        elif action == "oom":
            self._out_of_memory.add(container)

    async def observe(self, listed: Sequence[Mapping[str, Any]]) -> list[SeenKernel]:
        """Return the kernels of all this agent's containers (`listed`), and drop other containers from the cache."""
        ids = {str(row["Id"]) for row in listed}
        self._ended = {key: value for key, value in self._ended.items() if key in ids}
        self._released &= ids
        self._dying &= ids
        self._out_of_memory &= ids
        return [await self._seen(row) for row in listed]

    async def _seen(self, row: Mapping[str, Any]) -> SeenKernel:
        labels, container = row["Labels"], str(row["Id"])
        kernel_id = KernelId(UUID(labels[f"{LABEL}kernel"]))
        service = labels.get(f"{LABEL}service")
        phase: Phase = "running"
        code: int | None = None
        reason: Reason | None = None
        if row["State"] == "created":
            phase = "created"
        elif row["State"] in {"exited", "dead", "removing"} or await self._has_died(container):
            phase = "exited"
            code, reason = await self._ending(container)
        elif labels.get(f"{LABEL}gated") and not await self._was_released(container):
            phase = "created"
        return SeenKernel(
            kernel_id,
            SessionId(UUID(labels[f"{LABEL}session"])),
            ServiceId(UUID(service)) if service else None,
            phase,
            datetime.fromtimestamp(row["Created"], UTC),
            self._host,
            int(labels[f"{LABEL}port"]),
            code,
            reason,
        )

    async def _has_died(self, container: str) -> bool:
        """Return whether a container exited although the list says it runs.

        On a `die` event it is inspected, since lists lag.
        """
        if container not in self._dying:
            return False
        try:
            return not (await self._engine.call("GET", f"/containers/{container}/json"))["State"]["Running"]
        except EngineError as error:
            return error.status == 404

    async def _was_released(self, container: str) -> bool:
        if container not in self._released:
            if not await ContainerShell(self._engine, container, Image((), (), "", "")).gate_open():
                return False
            self._released.add(container)
        return True

    async def _ending(self, container: str) -> tuple[int | None, Reason | None]:
        if container not in self._ended:
            try:
                state = (await self._engine.call("GET", f"/containers/{container}/json"))["State"]
            except EngineError:
                return None, None
            if state.get("OOMKilled"):
                self._out_of_memory.add(container)
            words = str(state.get("Error") or "")[:MAX_QUOTED]
            explained = Reason.of(KernelReason.EXITED, f"exit code {state['ExitCode']}: {words}") if words else None
            self._ended[container] = (int(state["ExitCode"]), explained)
        code, reason = self._ended[container]
        if container in self._out_of_memory:
            text = f"it or a process of it was killed for using more memory than its mem slot (exit code {code})"
            reason = Reason.of(KernelReason.OUT_OF_MEMORY, text)
        return code, reason
