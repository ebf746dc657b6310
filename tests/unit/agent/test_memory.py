"""What bounds the memory of kernels on the process runtime, and what is said and done where nothing does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from headrace.agent.domain.convergence import ConvergenceInput, Evict, decide
from headrace.agent.domain.health import Policy, begin
from headrace.agent.domain.kernels import KernelRecord, ending_of, report_of
from headrace.agent.domain.memory import MemoryOverLimit, over_limit
from headrace.agent.domain.usage import Usage
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.runtime.process import cgroups
from headrace.agent.runtime.process.cgroups import MemoryGroups, kills_in
from headrace.agent.runtime.process.proc import held_memory, trees
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.reasons import MAX_TEXT_OF_ONE
from tests.unit.agent.test_convergence import NOW, seen_of, spec_of

ONE, TWO = KernelId(new_uuid()), KernelId(new_uuid())
MIB = 2**20


class FakeGroups:
    """A folder in place of the system's control groups, and a file that says which group the agent is in."""

    def __init__(self, tmp_path: Path, own: str) -> None:
        self.root = tmp_path / "cgroup"
        self.own = tmp_path / "own"
        self.own.write_text(own)

    def unified(self, path: str, *, handed_down: str = "", controllers: str = "cpu memory") -> Path:
        base = self.root / path
        base.mkdir(parents=True, exist_ok=True)
        (base / "cgroup.subtree_control").write_text(handed_down)
        (base / "cgroup.controllers").write_text(controllers)
        return base

    def find(self) -> MemoryGroups | None:
        return MemoryGroups.find(Path("/data/process"), self.root, self.own)


@pytest.fixture(autouse=True)
def _folders_go_with_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's groups are removed though files are in them."""
    monkeypatch.setattr(cgroups, "remove", lambda group: shutil.rmtree(group, ignore_errors=True))


def test_version_2_bounds_below_the_agents_own_group_where_memory_is_handed_down(tmp_path: Path) -> None:
    fake = FakeGroups(tmp_path, "0::/system.slice/agent.service\n")
    base = fake.unified("system.slice/agent.service", handed_down="cpu memory\n")
    groups = fake.find()
    assert groups is not None
    assert groups.base == base
    assert [path.name for path in base.iterdir() if path.is_dir()] == []  # the trial is gone
    group = groups.make(ONE, 640 * MIB)
    assert group.parent == base
    assert (group / "memory.max").read_text() == str(640 * MIB)
    assert (group / "memory.swap.max").read_text() == "0"


def test_version_2_hands_memory_down_itself_in_the_agents_own_group_only(tmp_path: Path) -> None:
    fake = FakeGroups(tmp_path, "0::/agent.service\n")
    own = fake.unified("agent.service")
    above = fake.unified("")
    groups = fake.find()
    assert groups is not None
    assert groups.base == own
    assert (own / "cgroup.subtree_control").read_text() == "+memory"
    assert (above / "cgroup.subtree_control").read_text() == ""


def test_version_2_bounds_beside_the_agents_group_where_the_group_above_hands_memory_down(tmp_path: Path) -> None:
    fake = FakeGroups(tmp_path, "0::/app.slice/agent.service\n")
    fake.unified("app.slice/agent.service", controllers="cpu")
    above = fake.unified("app.slice", handed_down="memory pids")
    groups = fake.find()
    assert groups is not None
    assert groups.base == above


def test_version_1_bounds_memory_and_memory_with_swap(tmp_path: Path) -> None:
    fake = FakeGroups(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/x\n0::/x\n")
    (fake.root / "memory/x").mkdir(parents=True)
    groups = fake.find()
    assert groups is not None
    group = groups.make(ONE, 640 * MIB)
    assert group.parent == fake.root / "memory/x"
    assert (group / "memory.limit_in_bytes").read_text() == str(640 * MIB)
    assert (group / "memory.memsw.limit_in_bytes").read_text() == str(640 * MIB)


@pytest.mark.parametrize("own", ["0::/agent.service\n", "0::/../elsewhere\n", "4:memory:/gone\n", "", "nonsense\n"])
def test_without_a_group_to_make_others_in_nothing_is_bounded(tmp_path: Path, own: str) -> None:
    fake = FakeGroups(tmp_path, own)
    fake.unified("agent.service", controllers="cpu pids")
    assert fake.find() is None


def test_a_group_that_no_process_can_join_is_of_no_use(tmp_path: Path) -> None:
    fake = FakeGroups(tmp_path, "0::/a\n")
    base = fake.unified("a", handed_down="memory")
    groups = fake.find()
    assert groups is not None
    (groups.make("trial", MIB) / "cgroup.procs").mkdir()  # cannot be written to
    assert fake.find() is None
    assert [path.name for path in base.iterdir() if path.is_dir()] == []


def test_a_group_that_cannot_be_bounded_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeGroups(tmp_path, "0::/a\n")
    base = fake.unified("a", handed_down="memory")
    groups = fake.find()
    assert groups is not None
    real = Path.write_text

    def refused(path: Path, text: str, encoding: str | None = None) -> int:
        if path.name == "memory.max":
            raise PermissionError(str(path))
        return real(path, text, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(PermissionError):
        groups.make(ONE, MIB)
    assert fake.find() is None
    assert [path.name for path in base.iterdir() if path.is_dir()] == []


def test_groups_of_kernels_that_are_gone_are_swept_and_no_others(tmp_path: Path) -> None:
    fake = FakeGroups(tmp_path, "0::/a\n")
    base = fake.unified("a", handed_down="memory")
    groups = fake.find()
    other = MemoryGroups.find(Path("/another/process"), fake.root, fake.own)
    assert groups is not None
    assert other is not None
    kept, gone, others = groups.make(ONE, MIB), groups.make(TWO, MIB), other.make(TWO, MIB)
    groups.sweep({str(ONE)})
    assert {path for path in base.iterdir() if path.is_dir()} == {kept, others}
    assert not gone.exists()


@pytest.mark.parametrize(
    ("name", "text", "kills"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\noom_group_kill 0\n", 1),
        ("memory.events", "low 0\nmax 12\noom 2\noom_kill 0\n", 0),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0),
        ("other", "", 0),
    ],
)
def test_kills_for_memory_are_read_of_both_versions(tmp_path: Path, name: str, text: str, kills: int) -> None:
    (tmp_path / name).write_text(text)
    assert kills_in(tmp_path) == kills


def usage(kernel_id: KernelId, mib: float) -> dict[KernelId, Usage]:
    return {kernel_id: Usage(1.0, 1.0, int(mib * MIB))}


def test_more_than_the_slot_is_said_with_both_numbers_and_not_anew_for_a_little_more() -> None:
    spec = spec_of(ONE).model_copy(update={"slots": {"mem": Decimal(640 * MIB)}})
    specs = {ONE: spec}
    assert over_limit(specs, usage(ONE, 640), {}) == {}
    over = over_limit(specs, usage(ONE, 1218), {})
    assert "1218 MiB" in over[ONE].reason.text
    assert "640 MiB" in over[ONE].reason.text
    assert over_limit(specs, usage(ONE, 1300), over) == over
    assert over_limit(specs, usage(ONE, 700), over) == over
    assert over_limit(specs, usage(ONE, 1600), over)[ONE].used_bytes == 1600 * MIB
    assert over_limit(specs, usage(ONE, 600), over) == {}
    mapped = {ONE: replace(usage(ONE, 1218)[ONE], held_bytes=600 * MIB)}
    assert over_limit(specs, mapped, {}) == {}
    assert over_limit({ONE: spec.model_copy(update={"slots": {}})}, usage(ONE, 10_000), {}) == {}


def test_a_healthy_replica_stays_healthy_and_its_reason_says_that_it_uses_too_much() -> None:
    over = MemoryOverLimit(1218 * MIB, 640 * MIB)
    policy = Policy.of(spec_of(ONE).health_check)
    health = begin(policy, NOW)
    degraded = KernelRecord(spec=spec_of(ONE), started_at=NOW, health=health)
    said = report_of(ONE, degraded, seen_of(ONE, "running"), None, over)
    assert said is not None
    assert said.reason.code == health.reason.code
    assert over.reason.text in said.reason.text
    assert len(said.reason.text) <= MAX_TEXT_OF_ONE
    sub = KernelRecord(spec=spec_of(ONE).model_copy(update={"role": "sub"}), started_at=NOW)
    said = report_of(ONE, sub, seen_of(ONE, "running"), None, over)
    assert said is not None
    assert (said.health, said.reason) == ("healthy", over.reason)


def test_a_change_is_told_once(tmp_path: Path) -> None:
    told: list[int] = []
    table = KernelRegistry(tmp_path, lambda: told.append(1))
    over = {ONE: MemoryOverLimit(2 * MIB, MIB)}
    table.observe_memory(over)
    table.observe_memory(dict(over))
    assert len(told) == 1
    table.observe_memory({})
    assert len(told) == 2


def test_where_set_it_is_ended_though_it_is_wanted_and_that_is_why() -> None:
    end = MemoryOverLimit(1218 * MIB, 640 * MIB).end
    assert end.code == "out-of-memory"
    plan, record = {ONE: spec_of(ONE)}, KernelRecord(spec=spec_of(ONE), started_at=NOW)
    running = {ONE: seen_of(ONE, "running")}
    assert decide(ConvergenceInput(plan, running, {ONE: record}, {}, to_evict={ONE: end})) == [Evict(ONE, end)]
    assert decide(ConvergenceInput(plan, running, {ONE: record}, {ONE: "stop"}, to_evict={ONE: end})) == []
    assert decide(ConvergenceInput(plan, {ONE: seen_of(ONE, "exited")}, {ONE: record}, {}, to_evict={ONE: end})) == []
    assert decide(ConvergenceInput(plan, running, {ONE: record}, {}, to_evict={TWO: end})) == []
    assert ending_of(seen_of(ONE, "exited"), ["t last words"], end).reason.text.startswith(end.text)


def test_memory_that_is_held_is_counted_and_mapped_files_are_not(tmp_path: Path) -> None:
    """A model that is mapped from its file is memory that the system takes back when it needs it."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 * MIB)
    script = (
        "import mmap, sys; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ);"
        "sum(m[::4096]); x = bytearray(b'x') * (32 * 2**20); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(big)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        _, resident = trees([os.getpid()])[os.getpid()]
        assert resident > 96 * MIB
        for limit in (0, resident):  # by shares, and by the sum alone
            assert 32 * MIB < held_memory(os.getpid(), limit) < resident - 60 * MIB
        child.communicate()
