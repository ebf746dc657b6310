"""What an agent works on, without containers, processes or ports: they are what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from headrace.agent.checks import CheckResult
from headrace.agent.domain.kernels import SeenKernel
from headrace.agent.domain.usage import Usage
from headrace.agent.runtime.interface import Before, Capacity, PortProblem, Prepared, RuntimeUnavailable
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Isolation
from headrace.common.contracts.model import HealthCheck


class FakeRuntime:
    """Kernels in memory, which outlive an agent. `calls`: what an agent did to them, in order."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._poke: Callable[[], None] = lambda: None
        self.kernels: dict[KernelId, SeenKernel] = {}
        self.calls: list[tuple[str, KernelId]] = []
        self.away = False
        """Whether it cannot be asked."""
        self.failures: list[Exception] = []
        """What the next starts raise."""
        self.ports: list[int] = []
        """The ports that starts were given."""
        self.looks = 0
        """How often its kernels were listed."""
        self.hanging_logs = 0
        """So many reads of a log hang, before others do not."""
        self.stops = True
        """Whether it can stop kernels."""
        self.problem: PortProblem | None = None
        """Why an answer from a kernel's port does not count."""
        self.elsewhere: str | None = None
        """Why kernels' host ports are not in the agent's network namespace."""

    def ends(self, kernel_id: KernelId, exit_code: int) -> None:
        """Let a kernel's program end."""
        self.kernels[kernel_id] = replace(self.kernels[kernel_id], phase="exited", exit_code=exit_code)
        self._poke()

    async def capacity(self) -> Capacity:
        self._answer()
        return Capacity("machine", "x86_64", 8.0, 64 << 30)

    async def list(self) -> Mapping[KernelId, SeenKernel]:
        self._answer()
        self.looks += 1
        return dict(self.kernels)

    async def start(self, spec: KernelSpec, prepared: Prepared, before: Before | None) -> None:
        self._answer()
        self.calls.append(("start", spec.kernel_id))
        self.ports.append(prepared.host_port)
        if self.failures:
            raise self.failures.pop(0)
        prepared.release_port()
        self.kernels[spec.kernel_id] = SeenKernel(
            spec.kernel_id,
            spec.session_id,
            spec.service_id,
            "running",
            self._clock(),
            "127.0.0.1",
            prepared.host_port,
        )

    async def stop(self, kernel_id: KernelId, grace_s: float) -> None:
        self._answer()
        if not self.stops:
            raise RuntimeUnavailable("it cannot stop it")
        self.calls.append(("stop", kernel_id))
        self.kernels[kernel_id] = replace(self.kernels[kernel_id], phase="exited", exit_code=0)

    async def remove(self, kernel_id: KernelId) -> None:
        self._answer()
        self.calls.append(("remove", kernel_id))
        self.kernels.pop(kernel_id, None)

    async def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool) -> AsyncGenerator[Sequence[str], None]:
        if self.hanging_logs:
            self.hanging_logs -= 1
            await asyncio.Event().wait()
        yield ["2026-01-01T00:00:00Z its last words"]

    async def usage(self) -> Mapping[KernelId, Usage]:
        return {}

    async def port_problem(self, kernel_id: KernelId, port: int) -> PortProblem | None:
        return self.problem

    async def ports_elsewhere(self) -> str | None:
        return self.elsewhere

    async def listens(self, spec: KernelSpec, port: int) -> str | None:
        return None

    async def isolation(self) -> Isolation:
        return Isolation(level="none", text="a fake")

    async def watch(self, poke: Callable[[], None]) -> None:
        self._poke = poke
        await asyncio.Event().wait()

    def _answer(self) -> None:
        if self.away:
            raise RuntimeUnavailable("it does not answer")


class FakeHealthChecker:
    """Asks nobody: `result` is what a kernel answers, once `answers` is set."""

    def __init__(self) -> None:
        self.result = CheckResult(passed=True, detail="answered 200", reached=True)
        self.answers = asyncio.Event()
        self.fails: Exception | None = None
        self.asked = 0
        self.forgotten: list[int] = []

    async def ask(self, check: HealthCheck | None, port: int, *, kept: bool = False) -> CheckResult:
        self.asked += 1
        await self.answers.wait()
        if self.fails is not None:
            raise self.fails
        return self.result

    def forget(self, port: int) -> None:
        self.forgotten.append(port)

    def close(self) -> None:
        pass
