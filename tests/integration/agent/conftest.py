"""A real agent process, driven over a real bus as the manager would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import subscribed
from headrace.common.bus.publish import ask, publish_last
from headrace.common.contracts.ids import FolderId, KernelId, new_uuid
from headrace.common.contracts.messages.logs import LogChunk, LogsAccepted, LogsRequest
from headrace.common.contracts.messages.metrics import KernelMetrics, KernelSample
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan
from headrace.common.contracts.messages.reports import KernelReport, NodeReport
from headrace.common.contracts.slots import parse_slots
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.integration.agent.containers import docker, import_image
from tests.support.forked import ForkedService
from tests.support.ports import free_port, port_range
from tests.support.wait import eventually
from tests.support.worlds.folder_cache import Machine, machine_with_cache

AGENT = "agent-3"
SH = ("/bin/sh", "-c")
SERVE = ("httpd", "-f", "-p", "8000", "-h", "/")


def make_spec(**changes: object) -> KernelSpec:
    """A kernel of a service, ready as soon as its port accepts connections."""
    fields: dict[str, object] = {
        "kernel_id": new_uuid(),
        "session_id": new_uuid(),
        "service_id": new_uuid(),
        "revision_id": None,
        "project_id": new_uuid(),
        "kind": "inference",
        "name": "thing",
        "image": None,
        "command": ("python", "-m", "http.server", "8000"),
        "port": 8000,
        "model_path": "/models",
        "health_check": None,
        "slots": {"cpu": 1, "mem": "512m"},
        "stop_grace_s": 5.0,
    }
    fields |= changes
    fields["slots"] = parse_slots(fields["slots"])  # a plan says bytes
    return KernelSpec.model_validate(fields)


@dataclass
class AgentUnderTest:
    """An agent's process and what it says. `generation` counts up with each plan."""

    bus: Bus
    env: dict[str, str]
    data: Path
    folders: Path
    log: Path
    process: ForkedService | None = None
    generation: int = 0
    reports: list[NodeReport] = field(default_factory=list)
    samples: list[KernelSample] = field(default_factory=list)

    def start(self) -> None:
        """Start the process."""
        self.process = ForkedService("agent", os.environ | self.env, self.log)

    def kill(self, number: int = signal.SIGKILL, within_s: float = 60) -> int:
        """Signal the process and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(within_s)
        self.process = None
        return code

    async def end(self) -> None:
        """End everything it runs, then the agent itself."""
        if self.process is None:
            self.start()
        assert self.process is not None
        try:
            await self.plan()
            self.reports.clear()
            await self.until(lambda r: r.applied_generation == self.generation and not r.kernels)
            assert self.kill(signal.SIGTERM) == 0, self.log.read_text()[-5000:]
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()

    async def plan(self, *specs: KernelSpec) -> None:
        """Publish the next plan."""
        self.generation += 1
        await publish_last(self.bus, NodePlan(agent_id=AGENT, generation=self.generation, kernels=specs))

    async def until(self, test: Callable[[NodeReport], object], within_s: float = 60) -> NodeReport:
        """Return the newest report once `test` holds for it."""

        def look() -> NodeReport | None:
            assert self.process is None or self.process.poll() is None, self.log.read_text()[-5000:]
            return self.reports[-1] if self.reports and test(self.reports[-1]) else None

        try:
            found: NodeReport | None = await eventually(look, within_s=within_s, every_s=0.005)
        except AssertionError as error:
            newest = self.reports[-1].kernels if self.reports else "none"
            raise AssertionError(f"{error}\nnewest: {newest}\n{self.log.read_text()[-6000:]}") from None
        assert found is not None
        return found

    async def kernel(self, spec: KernelSpec, within_s: float = 60, **wanted: object) -> KernelReport:
        """Return the kernel's report once the wanted fields are so."""

        def fits(report: NodeReport) -> bool:
            row = row_of(report, spec.kernel_id)
            return row is not None and all(getattr(row, name) == value for name, value in wanted.items())

        row = row_of(await self.until(fits, within_s), spec.kernel_id)
        assert row is not None
        return row

    async def ended(self, spec: KernelSpec) -> KernelReport:
        """Return the kernel's report once its program has ended, or could not begin."""

        def has_ended(report: NodeReport) -> bool:
            row = row_of(report, spec.kernel_id)
            return row is not None and row.state in {"exited", "failed"}

        row = row_of(await self.until(has_ended), spec.kernel_id)
        assert row is not None
        return row

    async def gone(self, spec: KernelSpec, within_s: float = 60) -> None:
        """Return once the kernel is not reported any more."""
        await self.until(
            lambda r: r.applied_generation >= self.generation and row_of(r, spec.kernel_id) is None, within_s
        )

    @asynccontextmanager
    async def reading(self, spec: KernelSpec, *, tail: int | None = 2000, follow: bool = False) -> AsyncIterator[Log]:
        """The kernel's log as it comes."""
        reply_to = f"logs.agent.{AGENT}.{new_uuid().hex}"
        log = Log()

        async def on_chunk(message: object) -> None:
            chunk = LogChunk.decode(message.data)  # type: ignore[attr-defined]
            log.sequences.append(chunk.sequence)
            log.lines += chunk.lines
            log.errors += [chunk.error] if chunk.error else []
            await message.respond(b"")  # type: ignore[attr-defined]
            if chunk.eof:
                log.eof.set()

        subscription = await self.bus.client.subscribe(reply_to, cb=on_chunk)
        request = LogsRequest(agent_id=AGENT, kernel_id=spec.kernel_id, tail=tail, follow=follow, reply_to=reply_to)
        log.accepted = await ask(self.bus, request, LogsAccepted)
        yield log
        await subscription.unsubscribe()

    async def whole_log(self, spec: KernelSpec, tail: int | None = None) -> list[str]:
        """Return the log's texts, without their times."""
        async with self.reading(spec, tail=tail) as log:
            assert log.accepted.accepted, log.accepted.detail
            async with asyncio.timeout(60):
                await log.eof.wait()
        assert log.errors == []
        return [line.partition(" ")[2] for line in log.lines]


@dataclass
class Log:
    """What was read of a log."""

    lines: list[str] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    eof: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: LogsAccepted = field(default_factory=lambda: LogsAccepted(accepted=False))


def row_of(report: NodeReport, kernel_id: KernelId | UUID) -> KernelReport | None:
    """Return the kernel's part of a report."""
    return next((row for row in report.kernels if row.kernel_id == kernel_id), None)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The shared storage of model folders."""
    (tmp_path / "folders").mkdir()
    return tmp_path / "folders"


@pytest.fixture
def folder(folders: Path) -> FolderId:
    """A model folder with one file."""
    folder_id = FolderId(new_uuid())
    (folders / str(folder_id)).mkdir()
    (folders / str(folder_id) / "weights.txt").write_text("weights")
    return folder_id


@pytest.fixture
async def agent(bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path) -> AsyncIterator[AgentUnderTest]:
    """An agent on the process runtime; started by the test's own plan or start()."""
    async with agent_under_test(bus, servers, tmp_path, folders) as running:
        running.start()
        yield running


ONLY_EVENTS = {"RECONCILE_EVERY": "PT1H", "REPORT_EVERY": "PT1H"}
"""Settings with which an agent looks and reports only when something happens: what it reports in a test, it was told of at once."""


@pytest.fixture
async def agent_without_timers(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> AsyncIterator[AgentUnderTest]:
    """An agent on the process runtime that only events move."""
    async with agent_under_test(bus, servers, tmp_path, folders, **ONLY_EVENTS) as running:
        running.start()
        yield running


@asynccontextmanager
async def agent_under_test(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, **settings: str
) -> AsyncIterator[AgentUnderTest]:
    """An agent that is not started yet. Everything it ran is ended on leaving."""
    with port_range() as ports:
        values = {
            "ID": AGENT,
            "NATS_URL": servers.nats_url,
            "NATS_PASSWORD": servers.nats_user(AGENT)[1],
            "RUNTIME": "process",
            "DATA_DIR": str(tmp_path / "agent"),
            "FOLDERS_ROOT": str(folders),
            "ADMIN_PORT": str(free_port()),
            "PORT_RANGE": "-".join(map(str, ports)),
            "FIRST_SYNC": "PT0.3S",
            **settings,
        }
        env = {f"HEADRACE_AGENT_{name}": value for name, value in values.items()}
        under_test = AgentUnderTest(bus, env, tmp_path / "agent", folders, tmp_path / "agent.log")

        async def on_report(report: NodeReport) -> None:
            under_test.reports.append(report)

        async def on_metrics(metrics: KernelMetrics) -> None:
            under_test.samples.extend(metrics.samples)

        async with subscribed(bus, NodeReport, on_report), subscribed(bus, KernelMetrics, on_metrics):
            try:
                yield under_test
            finally:
                await under_test.end()


@pytest.fixture(scope="session")
def busybox() -> Iterator[str]:
    """An image with a shell and the usual programs, whose user is not root."""
    program = Path("/bin/busybox")
    assert program.exists(), "busybox-static is needed (apt-get install busybox-static)"
    names = [
        "sh",
        "cat",
        "echo",
        "sleep",
        "httpd",
        "id",
        "ls",
        "mkdir",
        "env",
        "wc",
        "head",
        "grep",
        "dd",
        "nc",
        "touch",
        "stat",
        "pwd",
        "yes",
        "printf",
        "cp",
        "chmod",
        "nslookup",
        "ip",
    ]
    passwd = b"root:x:0:0::/root:/bin/sh\nworker:x:1234:1235::/:/bin/sh\n"
    files: dict[str, bytes | str] = {"bin/busybox": program.read_bytes(), "tmp/": b"", "etc/passwd": passwd}
    tag = import_image(
        f"agent-test-busybox:{uuid4().hex[:8]}",
        files | {f"bin/{name}": "busybox" for name in names},
        "USER worker",
        "ENV PATH=/bin",
        'CMD ["httpd", "-f", "-p", "8000", "-h", "/"]',
    )
    yield tag
    docker("image", "rm", "-f", tag)


@pytest.fixture(scope="session")
def bare() -> Iterator[str]:
    """An image with one program and no shell."""
    files: dict[str, bytes | str] = {"httpd": Path("/bin/busybox").read_bytes()}
    tag = import_image(f"agent-test-bare:{uuid4().hex[:8]}", files, "USER 1000:1000")
    yield tag
    docker("image", "rm", "-f", tag)


@pytest.fixture
async def docker_agent(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> AsyncIterator[AgentUnderTest]:
    """An agent on the docker runtime. Its ports are its own: the labels of its containers carry its id."""
    async with _on_docker(bus, servers, tmp_path, folders) as running:
        yield running


@pytest.fixture
async def docker_agent_without_timers(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> AsyncIterator[AgentUnderTest]:
    """An agent on the docker runtime that only events move."""
    async with _on_docker(bus, servers, tmp_path, folders, **ONLY_EVENTS) as running:
        yield running


@asynccontextmanager
async def _on_docker(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, **settings: str
) -> AsyncIterator[AgentUnderTest]:
    async with agent_under_test(
        bus, servers, tmp_path, folders, RUNTIME="docker", DOCKER_FIREWALL="preferred", **settings
    ) as running:
        running.start()
        yield running
    assert docker("network", "ls", "-q", "--filter", f"label=headrace.data={tmp_path / 'agent'}") == ""
    assert docker("ps", "-aq", "--filter", f"label=headrace.data={tmp_path / 'agent'}") == ""


def inspect(spec: KernelSpec) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", f"headrace-{AGENT}-{spec.kernel_id}"))[0]
    return found


def container(image: str, **changes: object) -> KernelSpec:
    return make_spec(**{"image": image, "command": SERVE, "slots": {"cpu": "0.5", "mem": "64m"}, **changes})


@pytest.fixture
async def machine(pool: Pool, tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine with an empty folder cache, and a manager with its network between them."""
    async with machine_with_cache(pool, tmp_path) as made:
        yield made
