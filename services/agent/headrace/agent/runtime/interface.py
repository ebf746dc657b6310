"""Runtime interface (as Nomad's task drivers). Nothing in it says that kernels run on the agent's own host."""

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
    """The runtime did not answer; nothing can be said about its kernels now, and the next pass asks again."""

    type, title = "runtime-unavailable", "Container runtime unavailable"


class StartRefused(Exception):  # noqa: N818 - a verdict about the kernel, not a fault of the agent
    """The kernel cannot be started as its spec stands. Trying again would not help; `reason` is reported."""

    def __init__(self, code: KernelReason, text: str) -> None:
        super().__init__(text)
        self.reason = Reason.of(code, text)


class PortTaken(StartRefused):
    """The host port was taken by somebody else between choosing and using it."""


@dataclass(frozen=True, slots=True)
class PreparedMount:
    """A folder on the machine and where it appears in the kernel."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class PortProblem:
    """Why an answer from a kernel's host port does not count."""

    words: str
    foreign: bool
    """Whether a program that is not the kernel's was seen to listen there."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the agent made ready for a kernel."""

    host_port: int
    mounts: tuple[PreparedMount, ...]
    simulated_gpus: bool
    """Its GPUs are not real: nothing is passed through to the kernel."""
    progress: Callable[[str], None]
    """Told in words what the start is at."""
    release_port: Callable[[], None] = lambda: None
    """To be called right before the program may take `host_port`, which is kept bound until then."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Result of a command inside the kernel: exit code and output."""

    exit_code: int
    out: str
    err: str


class KernelShell(Protocol):
    """The inside of a kernel before its program starts; where pre-start actions happen. Raises ActionFailed."""

    async def write(self, path: str, body: bytes, mode: int, *, append: bool) -> None:
        """Write a file, making its parents; a relative path counts from the home folder."""

    async def mkdir(self, path: str) -> None:
        """Make a folder and its parents; one that exists is fine."""

    async def run(self, command: Sequence[str]) -> CommandResult:
        """Run a program to its end with the kernel's environment."""


class ActionFailed(Exception):  # noqa: N818 - the outcome of a user's action
    """A pre-start action could not be done; the text says why, in the user's terms."""


Before = Callable[[KernelShell], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Capacity:
    """The whole of what kernels may be given."""

    hostname: str
    architecture: Architecture
    cpus: float
    mem_bytes: int
    data_root: Path | None = None
    """Where the runtime keeps images and writable layers, where that is a folder of this machine."""


class Runtime(Protocol):
    """Runs kernels. All calls are bounded in time. Except for the start itself all are safe to repeat."""

    async def capacity(self) -> Capacity:
        """Return what there is. Raises RuntimeUnavailable."""

    async def list(self) -> Mapping[KernelId, SeenKernel]:
        """Return every kernel of this agent that runs or has left anything behind. Raises RuntimeUnavailable."""

    async def start(self, spec: KernelSpec, prepared: Prepared, before: Before | None) -> None:
        """Create the kernel, await `before` with its inside, then start its program and return.

        `before` is None when nothing is to be done inside. Remains of a start that was cut are replaced; if the program
        runs already, nothing happens. When it raises or is cancelled, nothing of the kernel runs.
        Raises StartRefused and RuntimeUnavailable.
        """

    async def stop(self, kernel_id: KernelId, grace_s: float) -> None:
        """Return when the kernel's program has ended: SIGTERM, and SIGKILL after `grace_s`. Raises RuntimeUnavailable."""

    async def remove(self, kernel_id: KernelId) -> None:
        """Remove all that is left of a kernel, ending what still runs. Raises RuntimeUnavailable."""

    def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool) -> AsyncGenerator[Sequence[str], None]:
        """Yield lines, each `<RFC 3339 UTC timestamp> <text>`: the last `tail` (None: all), then with `follow` those
        that come until the program has ended. An empty batch now and then means that nothing was said.
        """

    async def usage(self) -> Mapping[KernelId, Usage]:
        """Return the counters of all running kernels. Raises RuntimeUnavailable."""

    async def port_problem(self, kernel_id: KernelId, port: int) -> PortProblem | None:
        """Return why an answer from the kernel's host port does not count as the kernel's; None when it does."""

    async def listens(self, spec: KernelSpec, port: int) -> str | None:
        """Return in words where the kernel's program listens, for one that does not answer on its host port `port`.

        None when it listens nowhere, or that cannot be told.
        """

    async def isolation(self) -> Isolation:
        """Return what keeps kernels of different projects apart at the moment. Raises RuntimeUnavailable."""

    async def watch(self, poke: Callable[[], None]) -> None:
        """Call `poke` soon after anything changed; run until cancelled."""
