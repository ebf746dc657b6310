"""`make demo` as a newcomer runs it: a home of its own, a fresh data folder, Ctrl-C at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wait import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


class Demo:
    """A run of the demo in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.data = folder / "data"
        self.log = folder / f"{len(list(folder.glob('*.log')))}.log"
        (folder / "home").mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HEADRACE_"))}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace.cli.demo"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **kept,
                    "HOME": str(folder / "home"),
                    "HEADRACE_DEMO_DATA": str(self.data),
                    "HEADRACE_CONSOLE": "none",
                    **environ,
                },
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def ended(self, within_s: float = 120) -> int:
        return self.process.wait(within_s)

    async def keeps_running(self) -> None:
        await eventually(self._keeps_running, within_s=120)

    def _keeps_running(self) -> bool:
        assert self.process.poll() is None, self.said
        return "keeps running" in self.said

    def left(self) -> list[str]:
        """Return what still runs of it, found by its data folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in {os.getpid(), self.process.pid}:
                try:
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    about = words + str((entry / "cwd").readlink())
                except OSError:
                    continue
                if str(self.data) in about:
                    found.append(words)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for line in Path("/proc").iterdir():  # nothing may be left, whatever the test found
        if line.name.isdigit():
            try:
                if str(tmp_path).encode() in (line / "cmdline").read_bytes():
                    os.kill(int(line.name), signal.SIGKILL)
            except OSError:
                continue


async def test_it_ends_by_itself_with_demo_ok_and_runs_again_until_ctrl_c_which_stops_everything(folder: Path) -> None:
    first = Demo(folder, HEADRACE_DEMO_EXIT="1")
    assert first.ended() == 0, first.said
    assert first.said.splitlines()[-1] == "demo ok"
    assert "uploading to embeddings" in first.said
    assert "curl got 384 numbers" in first.said
    close, far = (float(number) for number in re.findall(r"(-?\d\.\d\d)  A cat", first.said))
    assert close > 0.5 > far
    assert first.left() == []

    demo = Demo(folder)
    await demo.keeps_running()
    assert demo.said.count("is there from an earlier run") == 3
    curl = demo.said[demo.said.index("curl -sS") :].split("\n\n")[0]
    called = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=60, check=False)
    assert '"embedding"' in called.stdout, called.stderr
    assert len(demo.left()) > 8  # servers, services, two replicas

    status = subprocess.run(
        [sys.executable, "-m", "headrace.cli", "service", "ls"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"HOME": str(folder / "home"), "PATH": os.environ["PATH"]},
    )
    assert "embeddings" in status.stdout, status.stderr  # without a login

    second = Demo(folder)
    assert second.ended(30) == 1
    assert "already in use by process" in second.said

    os.killpg(demo.process.pid, signal.SIGINT)
    os.killpg(demo.process.pid, signal.SIGINT)  # an impatient person
    assert demo.ended(60) == 0, demo.said
    assert "everything has stopped" in demo.said
    assert demo.left() == []


async def test_killing_it_leaves_nothing_running(folder: Path) -> None:
    demo = Demo(folder)
    await demo.keeps_running()
    demo.process.kill()
    demo.ended(10)
    await eventually(lambda: not demo.left(), within_s=60)


def test_what_fails_is_said_with_its_reason(folder: Path) -> None:
    (folder / "data").write_text("a file where a folder should be")
    demo = Demo(folder, HEADRACE_DEMO_EXIT="1")
    assert demo.ended(60) == 1
    assert "error: the stack does not run: " in demo.said
    assert "demo ok" not in demo.said
    assert "Traceback" not in demo.said


async def test_a_part_that_cannot_start_is_said_with_the_end_of_its_log(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o700)
    environ = {"PYTHONPATH": str(folder / "broken")}
    package = folder / "broken" / "uvloop"  # every service imports it, and dies of this one
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this machine has a broken uvloop')")
    demo = Demo(folder, HEADRACE_DEMO_EXIT="1", **environ)
    assert demo.ended(90) != 0
    assert "the end of its log:" in demo.said, demo.said
    assert "broken uvloop" in demo.said
