"""Shim between the agent and one kernel on the process runtime: keeps its log and its exit code.

Run as `python -I -S shim.py FOLDER LOCK LOG_BYTES CWD GROUP PROGRAM [ARG…]` with the kernel's environment; only
the standard library is used. It leaves its parent, so that the agent may come and go:

- takes the lock file, which makes a second start of the same kernel impossible as long as this one runs;
- lets PROGRAM join the control group whose `cgroup.procs` is GROUP (`-`: none), and stays outside itself;
- runs PROGRAM in a session of its own, and adopts whatever that leaves behind (PR_SET_CHILD_SUBREAPER);
- writes its output to `FOLDER/log`, each line with its UTC time, also while no agent is alive; `log` becomes `log.1`
  at half of LOG_BYTES;
- when PROGRAM ends, kills what is left of it, writes `FOLDER/exit.json` and ends. If the shim is killed, the kernel
  is killed with it (PR_SET_PDEATHSIG).

On its standard output it says one line, `ok` or why the program could not be started.
With `--bound CWD PROGRAM [ARG…]` it only becomes PROGRAM, which is then killed when the caller dies.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MAX_LINE = 16 * 1024
DRAIN_S = 1.0
REAP_S = 5.0
LOCK_TRIES = 20
REPAINT_S = 1.0
"""Interval at which an unfinished line is written that a progress bar repaints."""


def stamp() -> str:
    """Return the current time in the format of log lines."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")  # noqa: UP017 - any Python 3


def write_json(path: Path, value: dict[str, object]) -> None:
    """Replace `path` atomically. Like common's write_atomically(), which a program without site packages cannot import."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(value), encoding="utf-8")
    new.replace(path)


class LogWriter:
    """Splits output into lines, adds the time, and keeps two files of together at most `max_bytes`."""

    def __init__(self, path: Path, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._repaint_at = 0.0
        self._half = max(max_bytes // 2, 4 * MAX_LINE)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Write the lines that `data` completes; repaints of a progress bar at most once in REPAINT_S."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > MAX_LINE:
            lines.append(self._rest[:MAX_LINE])
            self._rest = self._rest[MAX_LINE:]
        # A return at the end may be half of \r\n; what stands before another one was painted whole.
        painted, returned, _ = self._rest.rstrip(b"\r").rpartition(b"\r")
        if returned:
            self._rest = self._rest[len(painted) + 1 :]
            if (last := painted.rpartition(b"\r")[2]).strip() and self._clock() >= self._repaint_at:
                lines.append(last)
                self._repaint_at = self._clock() + REPAINT_S
        if lines:
            self._write(lines)

    def close(self) -> None:
        """Write the last incomplete line."""
        if self._rest:
            self._write([self._rest])
            self._rest = b""

    def _write(self, lines: list[bytes]) -> None:
        # A progress bar repaints its line with carriage returns: what was painted last counts.
        now = stamp().encode() + b" "
        block = b"".join(now + line.rstrip(b"\r").rpartition(b"\r")[2] + b"\n" for line in lines)
        with suppress(OSError):  # a full disk must not stop the program
            if self._size + len(block) > self._half:
                self._rotate()
            os.write(self._fd, block)
            self._size += len(block)

    def _rotate(self) -> None:
        new = self._path.with_name(f".{self._path.name}.new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)  # may fail: the old one stays
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        new.replace(self._path)
        os.close(self._fd)
        self._fd, self._size = fd, 0


def prctl(option: int, value: int) -> None:
    """Call prctl(2); an option that this kernel does not know is ignored."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start_ticks(pid: int) -> int:
    """Return the start time of `pid` in clock ticks since boot; 0 if it is gone."""
    with suppress(OSError, IndexError):
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    return 0


def end_orphans(log_fd: int, log: LogWriter) -> None:
    """Kill all processes that the program left behind (now children of this one), and read the rest of its output."""
    deadline = time.monotonic() + REAP_S
    while time.monotonic() < deadline:
        for pid in own_children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.005)
    deadline = time.monotonic() + DRAIN_S
    while select.select([log_fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(log_fd, 65536)
        if not data:
            break
        log.feed(data)
    log.close()


def own_children() -> list[int]:
    """Return the living and dead children of this process."""
    found = []
    me = os.getpid()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                stat = Path(f"/proc/{entry.name}/stat").read_text(encoding="utf-8", errors="replace")
                if int(stat.rpartition(")")[2].split()[1]) == me:
                    found.append(int(entry.name))
    return found


def keep(folder: Path, log: LogWriter, child: subprocess.Popen[bytes], output: int) -> None:
    """Copy output until the program exits; then kill what it left, and write its exit code."""
    pidfd = os.pidfd_open(child.pid)
    poller = select.poll()
    poller.register(output, select.POLLIN | select.POLLHUP)
    poller.register(pidfd, select.POLLIN)
    ended = False
    while not ended:
        for fd, _ in poller.poll():
            if fd == pidfd:
                ended = True
                continue
            data = os.read(output, 65536)
            if data:
                log.feed(data)
            else:
                poller.unregister(output)  # the program closed its output and goes on
    code = child.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    end_orphans(output, log)
    with suppress(OSError):  # a full disk: the code is not known then, but the end is, by the lock
        write_json(folder / "exit.json", {"code": code if code >= 0 else 128 - code, "at": stamp()})


def say(text: str) -> None:
    """Write the result line to the agent, and close the pipe."""
    with suppress(OSError):
        os.write(1, text.encode("utf-8", "replace")[:4000] + b"\n")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def main(argv: list[str]) -> None:
    """Entry point: do what the module's docstring says."""
    if argv[0] == "--bound":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(argv[1])
        os.execvp(argv[2], argv[2:])  # noqa: S606 - becoming the user's program is the purpose
    folder, lock, log_bytes, cwd, group, *program = argv
    if os.fork():
        os._exit(0)
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not take(fd):
        say("running already")
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the program's end is this process's end
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    log = LogWriter(Path(folder) / "log", int(log_bytes))
    run(Path(folder), log, cwd, group, program)


def take(fd: int) -> bool:
    """Return whether the lock was taken. Retries, because an agent that tests the lock holds it for a moment."""
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def run(folder: Path, log: LogWriter, cwd: str, group: str, program: list[str]) -> None:
    """Start the program, report the result to the agent, and supervise it."""

    def in_child() -> None:
        if group != "-":
            with suppress(OSError):  # then the agent still compares what it uses with its slot
                procs = os.open(group, os.O_WRONLY)
                os.write(procs, b"0")
                os.close(procs)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    output, into = os.pipe()
    try:
        child = subprocess.Popen(
            program,
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=into,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=in_child,  # noqa: PLW1509 - this process has one thread
        )
    except OSError as error:
        say(f"{program[0]}: {error.strerror}")
        return
    os.close(into)
    ids = {
        "shim": os.getpid(),
        "shim_ticks": start_ticks(os.getpid()),
        "child": child.pid,
        "child_ticks": start_ticks(child.pid),
    }
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    write_json(folder / "state.json", {**ids, "boot": boot, "at": stamp()})
    say("ok")
    keep(folder, log, child, output)


if __name__ == "__main__":
    main(sys.argv[1:])
