"""Runtime interface, like Nomad's task drivers. Kernels need not run on the agent's own host."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace.agent.domain.kernels import SeenKernel
from headrace.agent.domain.usage import Usage
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Architecture, Isolation
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason


class RuntimeUnavailable(Unavailable):
    """The runtime did not answer: the state of its kernels is unknown, and the next pass asks again."""

    type, title = "runtime-unavailable", "Container runtime unavailable"


class StartRefused(Exception):  # noqa: N818 - a verdict about the kernel, not a fault of the agent
    """The kernel cannot be started with this spec. A retry would not help; `reason` is reported."""

    def __init__(self, code: KernelReason, text: str) -> None:
        super().__init__(text)
        self.reason = Reason.of(code, text)


class PortTaken(StartRefused):
    """Another program took the host port between its allocation and its use."""


@dataclass(frozen=True, slots=True)
class PreparedMount:
    """A host folder, and its path in the kernel."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class PortProblem:
    """Why a response from a kernel's host port is not the kernel's own."""

    words: str
    foreign: bool
    """Whether another program than the kernel's was found listening there."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Resources that the agent prepared for a kernel's start: host port, mounts, callbacks."""

    host_port: int
    mounts: tuple[PreparedMount, ...]
    simulated_gpus: bool
    """Whether its GPUs are simulated: nothing is passed through to the kernel."""
    progress: Callable[[str], None]
    """Callback with the current step of the start, as text."""
    release_port: Callable[[], None] = lambda: None
    """Callback right before the program takes `host_port`, which is kept bound until then."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Result of a command inside the kernel: exit code and output."""

    exit_code: int
    out: str
    err: str


class KernelShell(Protocol):
    """File and command access to a kernel before its program starts, for pre-start actions. Raises ActionFailed."""

    async def write(self, path: str, body: bytes, mode: int, *, append: bool) -> None:
        """Write a file, creating its parents; a relative path starts at the home folder."""

    async def mkdir(self, path: str) -> None:
        """Create a directory and its parents; an existing one is no error."""

    async def run(self, command: Sequence[str]) -> CommandResult:
        """Run a command to its end, with the kernel's environment."""


class ActionFailed(Exception):  # noqa: N818 - the outcome of a user's action
    """A pre-start action failed; the text says why, in the user's terms."""


Before = Callable[[KernelShell], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Capacity:
    """Total resources that kernels may be given."""

    hostname: str
    architecture: Architecture
    cpus: float
    mem_bytes: int
    data_root: Path | None = None
    """Folder of images and writable layers, where it is on this machine."""


class Runtime(Protocol):
    """Runs kernels. All calls have timeouts. All but start() are idempotent."""

    async def capacity(self) -> Capacity:
        """Return the total resources. Raises RuntimeUnavailable."""

    async def list(self) -> Mapping[KernelId, SeenKernel]:
        """Return every kernel of this agent that runs or has left anything behind. Raises RuntimeUnavailable."""

    async def start(self, spec: KernelSpec, prepared: Prepared, before: Before | None) -> None:
        """Create the kernel, await `before` with access to it, then start its program and return.

        `before` is None without pre-start actions. Leftovers of an interrupted start are replaced; if the program runs
        already, nothing happens. When it raises or is cancelled, nothing of the kernel runs. Raises StartRefused and
        RuntimeUnavailable.
        """

    async def stop(self, kernel_id: KernelId, grace_s: float) -> None:
        """Stop the kernel's program, with SIGTERM and after `grace_s` SIGKILL; returns once it exited.

        Raises RuntimeUnavailable.
        """

    async def remove(self, kernel_id: KernelId) -> None:
        """Remove all leftovers of a kernel, killing what still runs. Raises RuntimeUnavailable."""

    def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool) -> AsyncGenerator[Sequence[str], None]:
        """Yield batches of lines `<RFC 3339 UTC timestamp> <text>`: the last `tail` (None: all), then with `follow` new ones.

        Ends when the program has exited. An empty batch now and then means that there was no output.
        """

    async def usage(self) -> Mapping[KernelId, Usage]:
        """Return the resource counters of all running kernels. Raises RuntimeUnavailable."""

    async def port_problem(self, kernel_id: KernelId, port: int) -> PortProblem | None:
        """Return why a response from the kernel's host port is not the kernel's own; None when it is."""

    async def ports_elsewhere(self) -> str | None:
        """Return why kernels' host ports are not ports of the agent's own network namespace; None when they are."""

    async def listens(self, spec: KernelSpec, port: int) -> str | None:
        """Return where the kernel's program listens, as text, for one that does not answer on its host port `port`.

        None when it listens nowhere, or the runtime cannot tell.
        """

    async def isolation(self) -> Isolation:
        """Return the isolation now in force between kernels of different projects. Raises RuntimeUnavailable."""

    async def watch(self, poke: Callable[[], None]) -> None:
        """Call `poke` soon after any kernel changed; run until cancelled."""
