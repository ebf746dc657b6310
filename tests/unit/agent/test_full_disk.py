"""What the agent does with a disk that takes nothing: what runs is kept, nothing raises, and all is written later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from headrace.agent import disk as disk_module
from headrace.agent.archive import LogArchive
from headrace.agent.disk import DiskMonitor
from headrace.agent.domain.kernels import KernelRecord
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.plans import Plans
from headrace.agent.prestart import PrestartLog
from headrace.agent.runtime.process import shim
from headrace.agent.runtime.process.shim import LogWriter
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.messages.plans import NodePlan
from tests.unit.agent.test_convergence import NOW, spec_of

Fill = Callable[[bool], None]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Make the agent's disk full, or not any more."""
    real = os.open

    def no_room(path: object, flags: int, mode: int = 0o777) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def fill(is_full: bool) -> None:  # noqa: FBT001 - a switch
        monkeypatch.setattr(os, "open", no_room if is_full else real)

    return fill


def test_a_record_that_the_disk_does_not_take_holds_and_is_written_once_there_is_room(
    tmp_path: Path, full: Fill
) -> None:
    table = KernelRegistry(tmp_path)
    table.load()
    spec = spec_of(KernelId(new_uuid()))
    full(True)
    table.put(KernelRecord(spec=spec, host_port=20001))
    table.change(spec.kernel_id, started_at=NOW)
    table.save()
    assert table.records[spec.kernel_id].started_at == NOW
    full(False)
    table.save()
    again = KernelRegistry(tmp_path)
    again.load()
    assert again.records == table.records


def test_a_forgotten_kernel_is_not_written_later(tmp_path: Path, full: Fill) -> None:
    table = KernelRegistry(tmp_path)
    table.load()
    spec = spec_of(KernelId(new_uuid()))
    full(True)
    table.put(KernelRecord(spec=spec))
    full(False)
    table.forget(spec.kernel_id)
    table.save()
    assert list(tmp_path.iterdir()) == []


async def test_a_plan_is_followed_without_a_disk_and_the_older_copy_does_not_outlive_it(
    tmp_path: Path, full: Fill
) -> None:
    path = tmp_path / "plan.json"
    plans = Plans(path, "agent-1")
    await plans.offer(NodePlan(agent_id="agent-1", generation=1, kernels=()))
    full(True)
    await plans.offer(NodePlan(agent_id="agent-1", generation=2, kernels=()))
    assert plans.generation == 2
    assert not path.exists()  # by the older one, an agent that starts anew would stop what only the newer one wants
    full(False)
    plans.save()
    again = Plans(path, "agent-1")
    again.load()
    assert again.generation == 2


async def test_a_kernel_can_be_removed_though_its_log_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        async def logs(self, kernel_id: KernelId, *, tail: int | None, follow: bool):  # type: ignore[no-untyped-def]
            yield ["a line"]

    def no_room(self: Path, *args: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    kernel_id = KernelId(new_uuid())
    monkeypatch.setattr(Path, "mkdir", no_room)
    archive = LogArchive(tmp_path / "logs", timedelta(hours=1))
    await archive.keep(kernel_id, Silent(), PrestartLog(tmp_path / "none" / "prestart.log"))  # type: ignore[arg-type]
    assert archive.lines(kernel_id) is None


def test_the_log_of_a_program_goes_on_in_the_old_file_while_no_new_one_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path / "log", 2 * 4 * shim.MAX_LINE)
    real = os.open
    line = b"x" * 1000 + b"\n"

    def no_room(path: object, flags: int, mode: int = 0o777) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "open", no_room)
    for _ in range(100):
        writer.feed(line)
    other = real(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # must not get the log's descriptor
    monkeypatch.setattr(os, "open", real)
    writer.feed(line)
    writer.feed(b"after\n")
    assert os.fstat(other).st_size == 0
    os.close(other)
    assert (tmp_path / "log").read_text().endswith(" after\n")
    assert (tmp_path / "log.1").stat().st_size <= 4 * shim.MAX_LINE


def test_below_the_reserve_it_says_why_nothing_is_started_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = DiskMonitor(tmp_path, 256 * 2**20)
    monkeypatch.setattr(disk_module, "total_bytes", lambda _: 100 * 2**30)
    monkeypatch.setattr(disk_module, "free_bytes", lambda _: 100 * 2**20)
    why = room.shortage()
    assert why is not None
    assert "100 MiB free of 100.0 GiB" in why
    assert "256 MiB must be free (setting disk_reserve_bytes)" in why
    monkeypatch.setattr(disk_module, "free_bytes", lambda _: 300 * 2**20)
    assert room.shortage() is None
    before, _ = room.measure(), monkeypatch.setattr(disk_module, "free_bytes", lambda _: 300 * 2**20 + 5000)
    assert room.measure() == before  # a few more lines of a log are no news


def test_the_container_engine_s_disk_counts_as_well_where_it_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Path("/proc")  # a file system of its own, and there on every machine
    free = {tmp_path: 100 * 2**30, engine: 1 * 2**20}
    monkeypatch.setattr(disk_module, "total_bytes", lambda _: 200 * 2**30)
    monkeypatch.setattr(disk_module, "free_bytes", lambda folder: free[folder])
    room = DiskMonitor(tmp_path, 256 * 2**20, engine_root=lambda: engine)
    assert (why := room.shortage()) is not None
    assert "the container engine's disk has 1 MiB free of 200.0 GiB" in why
    own, other = room.measure(), room.measure_engine()
    assert (own is not None and own.has_room, other is not None and other.has_room) == (True, False)
    free[engine] = 300 * 2**20
    assert room.shortage() is None


@pytest.mark.parametrize("where", ["same", "elsewhere", "none"])
def test_an_engine_s_disk_that_is_the_agent_s_or_not_on_this_machine_is_not_looked_at(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "docker").mkdir()
    root = {"same": tmp_path / "docker", "elsewhere": tmp_path / "not-here", "none": None}[where]
    assert DiskMonitor(tmp_path, 2**60, engine_root=lambda: root).measure_engine() is None


def test_a_disk_that_cannot_be_asked_holds_up_no_start_and_is_logged_once(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    monitor = DiskMonitor(gone, 1)
    with capture_logs() as logs:
        assert (monitor.measure(), monitor.shortage()) == (None, None)
        gone.mkdir()
        assert monitor.measure() is not None
        gone.rmdir()
        assert monitor.measure() is None
    assert [entry["event"] for entry in logs] == ["disk_unreadable"] * 2, "again after it could be asked"
