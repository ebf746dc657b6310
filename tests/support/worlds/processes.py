"""Processes seen from outside, and Python with the embedded stack in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = os.pathsep.join(
    [str(ROOT / "libs/embedded"), str(ROOT / "libs/common"), sysconfig.get_path("purelib"), str(ROOT)]
)
NOBODY = 65534


def living(marker: Path) -> dict[int, str]:
    """Return pid → command line of every live process that names `marker` in its command line or works below it."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            below = str((entry / "cwd").readlink())
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in "ZX" and (str(marker) in line or below.startswith(str(marker))):
            found[int(entry.name)] = line
    return found


def ordinary_python() -> str:
    """Return a Python of this version that an unprivileged account can run."""
    for candidate in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        try:
            done = subprocess.run(
                [candidate, "-c", "import asyncpg, encodings"],
                env={"PYTHONPATH": SOURCES},
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
                capture_output=True,
                check=False,
                timeout=60,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    raise AssertionError(f"no Python {sys.version_info[:2]} that uid {NOBODY} can run")


@contextmanager
def python(script: str, *arguments: str, ordinary: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run `script` in a process of its own (as an ordinary user if asked); killed at the end if it still runs."""
    account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ordinary and os.geteuid() == 0 else {}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [ordinary_python() if account else sys.executable, "-c", script, *arguments],
            env={"PYTHONPATH": SOURCES, "PATH": os.environ["PATH"]},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            **account,  # type: ignore[call-overload]  # keyword arguments by name
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            errors.seek(0)
            sys.stderr.write(errors.read())  # pytest shows it when the test fails


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that the process prints; empty at its end."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
