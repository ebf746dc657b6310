"""Measured processes: started on given cores, sampled for CPU time and memory of their whole tree, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.proxy.machine import MissingError

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """Started program with its children."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def tree(self) -> list[int]:
        """Return the process ids of itself and all its live descendants."""
        children: dict[int, list[int]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and (fields := _stat(int(folder.name))):
                children.setdefault(int(fields[1]), []).append(int(folder.name))
        found = [self.process.pid]
        for pid in found:  # grows while it is walked
            found.extend(children.get(pid, []))
        return found

    def cpu_s(self) -> dict[int, float]:
        """Return the CPU seconds, user and system, of each process of the tree so far."""
        return {pid: _cpu_s(pid) for pid in self.tree}

    def rss_mb(self) -> float:
        """Return the resident megabytes (10⁶), summed over the tree: shared memory counts in each process."""
        return sum(int(fields[21]) * _PAGE_BYTES for pid in self.tree if (fields := _stat(pid))) / 1e6

    def stop(self) -> None:
        """Stop it: SIGTERM, and SIGKILL to its process group after five seconds."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def last_words(self) -> str:
        """Return the last line of its output, for an error message."""
        lines = [line for line in self.output.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else "no output"


def start(
    name: str,
    command: Sequence[str | Path],
    *,
    on: Sequence[int],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start `command` on the cores `on`, with its output in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "output.log"
    # A bench that is killed takes its proxies with it.
    pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", ",".join(map(str, on)), *map(str, command)]
    with output.open("wb") as file:
        process = subprocess.Popen(
            pinned,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(environment or {}),
            start_new_session=True,
        )
    return Running(name, process, output)


def wait_until_it_answers(running: Running, port: int, request: bytes, *, patience_s: float = _PATIENCE_S) -> None:
    """Wait until `request` is answered 200. Raises MissingError when the process ends first, or on timeout."""
    end = time.monotonic() + patience_s
    last = "nothing"
    while time.monotonic() < end:
        if running.process.poll() is not None:
            raise MissingError(f"ended with {running.process.poll()}: {running.last_words()}")
        try:
            last = status_line(port, request)
        except OSError as error:
            last = str(error)
        if " 200" in last:
            return
        time.sleep(0.05)
    raise MissingError(f"no 200 in {patience_s:.0f} s; the last answer: {last}; it said: {running.last_words()}")


def status_line(port: int, request: bytes) -> str:
    """Send one request on a new connection and return the response's first line. Raises OSError."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(4096).split(b"\r\n", 1)[0].decode("latin-1")


def spent_s(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    """Return the CPU seconds of each process between two samples; a new process counts from 0."""
    return {pid: seconds - before.get(pid, 0.0) for pid, seconds in after.items()}


def quiet(running: Running, *, patience_s: float = 20.0) -> None:
    """Wait until the proxy is idle: one that does not notice disconnected callers reads their streams to the end."""
    end = time.monotonic() + patience_s
    before = sum(running.cpu_s().values())
    while time.monotonic() < end:
        time.sleep(0.1)
        now = sum(running.cpu_s().values())
        if now - before <= 0.01:
            return
        before = now


def core_busy_s(core: int) -> float:
    """Return the seconds in which a core was not idle since boot, steal time included (proc(5))."""
    line = next(one for one in Path("/proc/stat").read_text().splitlines() if one.startswith(f"cpu{core} "))
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, line.split()[1:9])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / _TICKS_PER_S


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the state on (proc(5): the name before it may contain anything), or none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0
