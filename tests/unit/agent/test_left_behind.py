"""Processes that a replica on the process runtime leaves behind: found by their mark and by their control group, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from headrace.agent.runtime.process import cgroups, proc
from headrace.agent.runtime.process.cgroups import MemoryGroups, members
from headrace.agent.runtime.process.proc import end_all
from headrace.agent.runtime.process.process_tree import MARK, kill_marked
from headrace.common.contracts.ids import new_uuid
from headrace.common.runtime.procfs import read_stat


@contextmanager
def program(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that sleeps, with just this environment."""
    started = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], env=environ)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def group_of(folder: Path, *pids: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
    return folder


def test_what_cleared_its_environment_is_ended_by_its_control_group_and_nobody_else_is(tmp_path: Path) -> None:
    kernel_id = str(new_uuid())
    with program({}) as daemon, program({}) as below, program({MARK: kernel_id}) as marked, program({}) as stranger:
        group = group_of(tmp_path / "group", daemon.pid)
        group_of(group / "made-by-itself", below.pid)
        assert kill_marked(kernel_id, group) == 3
        assert [one.wait(10) for one in (daemon, below, marked)] == [-signal.SIGKILL] * 3
        assert stranger.poll() is None
        assert kill_marked(kernel_id, group) == 0


def test_groups_of_replicas_that_are_gone_are_emptied(tmp_path: Path) -> None:
    groups = MemoryGroups(tmp_path, "owner", unified=True)
    known, gone = str(new_uuid()), str(new_uuid())
    with program({}) as stays, program({}) as ends:
        group_of(tmp_path / f"headrace-owner-{known}", stays.pid)
        group_of(tmp_path / f"headrace-owner-{gone}", ends.pid)
        group_of(tmp_path / f"headrace-other-{gone}", stays.pid)
        assert groups.sweep({known}) == 1
        assert ends.wait(10) == -signal.SIGKILL
        assert stays.poll() is None


def test_a_process_id_that_went_to_another_program_in_the_meantime_is_not_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is killed is what was held before it was found: here the id is found once, and belongs to nobody of ours then."""
    with program({}) as stranger:
        answers = iter([{stranger.pid}, set[int]()])
        assert end_all(lambda: next(answers, set())) == 0
        assert stranger.poll() is None
        sent: list[int] = []
        monkeypatch.setattr(proc.os, "kill", lambda *_: sent.append(1))  # type: ignore[attr-defined]
        assert end_all(lambda: {stranger.pid}) == 1
        assert sent == []  # by its pidfd, never by its number
        stat = read_stat(stranger.pid)
        assert stat is None or not stat.alive


def test_what_is_killed_has_exited_before_it_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that takes its time to exit: its environment, by which it was found, goes first."""
    kill = signal.pidfd_send_signal
    with program({}) as one, ThreadPoolExecutor(1) as threads:
        lived: list[bool] = []
        looked_again = Event()

        def found() -> set[int]:
            stat = read_stat(one.pid)
            lived.append(stat is not None and stat.alive)
            if len(lived) < 3:
                return {one.pid}
            looked_again.set()
            return set()

        def kill_later(pidfd: int, number: int) -> None:
            def later(own: int) -> None:
                looked_again.wait(0.1)
                kill(own, number)
                os.close(own)

            threads.submit(later, os.dup(pidfd))

        monkeypatch.setattr(proc.signal, "pidfd_send_signal", kill_later)  # type: ignore[attr-defined]
        assert end_all(found) == 1
        assert lived == [True, True, False]


def test_a_process_that_does_not_exit_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with program({}) as one:
        looked: list[int] = []
        monkeypatch.setattr(proc.signal, "pidfd_send_signal", lambda *_: looked.append(1))  # type: ignore[attr-defined]
        monkeypatch.setattr(proc, "EXIT_S", 0.05)
        monkeypatch.setattr(proc, "LAST_MOMENT_S", 0.0)
        assert end_all(lambda: {one.pid}) == 1
        assert len(looked) == proc.PASSES
        assert one.poll() is None


def test_this_process_is_never_among_those_that_are_ended(tmp_path: Path) -> None:
    assert end_all(lambda: {os.getpid()}) == 0
    assert members(group_of(tmp_path / "group", os.getpid())) == {os.getpid()}


def test_a_group_goes_with_those_below_it(tmp_path: Path) -> None:
    (tmp_path / "group" / "below" / "further").mkdir(parents=True)
    cgroups.remove(tmp_path / "group")
    assert list(tmp_path.iterdir()) == []
