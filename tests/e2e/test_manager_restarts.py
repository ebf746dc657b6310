"""The manager is killed and stays away for a while under every command that waits, and under commands that begin meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PROGRAM = """
import os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def until(path):
    while not os.path.exists(path):
        time.sleep(0.05)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith("/hold"):
            until(os.environ["LEAVE"])
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_):
        pass
def count():
    number = 0
    while True:
        print("line", number, flush=True); number += 1; time.sleep(0.02)
if os.environ.get("COUNT"):
    threading.Thread(target=count, daemon=True).start()
until(os.environ["START"])
ThreadingHTTPServer(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
"""
DEFINITION = """
models:
  - name: gated
    model_path: /models
    service:
      start_command: [python, /models/program.py, --port, "8000"]
      port: 8000
      health_check: {path: /health, initial_delay: 0.2, interval: 0.5, max_wait_time: 10, max_retries: 1000}
"""
BYTES = 96 * 1024 * 1024


@dataclass
class Command:
    """A command under way; what it printed lies in files."""

    name: str
    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def said(self) -> str:
        return self.out.read_text() + self.err.read_text()


@dataclass
class Gates:
    """Files for which the services' programs wait before they listen, or before they answer."""

    folder: Path

    def env(self, start: str, leave: str = "leave") -> dict[str, str]:
        return {"START": str(self.folder / start), "LEAVE": str(self.folder / leave)}

    def open(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def shut(self, name: str) -> None:
        (self.folder / name).unlink()


class Terminal:
    """Runs commands of the command line as somebody logged in to the stack."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.under_way: list[Command] = []

    def begin(self, name: str, *words: object) -> Command:
        out, err = self._folder / f"{name}.out", self._folder / f"{name}.err"
        environ = {**os.environ, "HEADRACE_URL": self._stack.api.url, "HEADRACE_API_KEY": self._stack.api.key}
        environ |= {"XDG_STATE_HOME": str(self._folder), "HOME": str(self._folder)}
        with out.open("wb") as to, err.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace.cli", *map(str, words)], stdout=to, stderr=errors, env=environ
            )
        command = Command(name, process, out, err)
        self.under_way.append(command)
        return command


@pytest_asyncio.fixture(loop_scope="session")
async def terminal(stack: Stack, tmp_path: Path) -> AsyncIterator[Terminal]:
    made = Terminal(stack, tmp_path)
    yield made
    for command in made.under_way:
        if command.process.poll() is None:
            command.process.kill()
        command.process.wait()


@asynccontextmanager
async def manager_away(stack: Stack) -> AsyncIterator[None]:
    """Kill the manager; it is started anew when this is left."""
    supervisor = stack._process
    assert supervisor is not None
    old = stack.pid("manager")
    supervisor.send_signal(signal.SIGSTOP)
    try:
        stack.kill("manager")
        yield
    finally:
        supervisor.send_signal(signal.SIGCONT)
    await eventually(lambda: stack.pid("manager") not in (None, old), within_s=60)
    await eventually(stack.manager_answers, within_s=60)


@pytest.mark.timeout(560)
async def test_whatever_waits_goes_on_when_the_manager_is_back(
    stack: Stack, terminal: Terminal, tmp_path: Path
) -> None:
    api, gates = stack.api, Gates(tmp_path)
    await api.folder("gated", {"model-definition.yaml": DEFINITION, "program.py": PROGRAM})
    await api.folder("files", {})
    large, down = tmp_path / "large.bin", tmp_path / "down"
    large.write_bytes(os.urandom(1024 * 1024) * (BYTES // 1024**2))

    async def serve(name: str, start: str = "later", *, replicas: int = 1, **environ: str) -> None:
        body = stack.spec(name, folder="gated", environ={**gates.env(start), **environ}, replicas=replicas)
        body |= {"slots": {"cpu": "0.1", "mem": "64m"}, "drain_grace_s": 300, "open_to_public": True}
        await api.call("POST", "/v1/services", body)

    gates.open("now")
    for name in ("update", "stop", "rm"):
        await serve(f"w-{name}", "now")
    for name in ("rollback", "restart"):
        await serve(f"w-{name}", name)
        gates.open(name)
    spec = stack.spec("w-rollback", folder="gated", environ=gates.env("now"), slots={"cpu": "0.1", "mem": "64m"})
    spec = {name: value for name, value in spec.items() if name not in {"name", "replicas", "project", "drain_grace_s"}}
    await api.call("PATCH", "/v1/services/w-rollback", {"spec": spec})
    for name in ("wait", "retry"):
        await serve(f"w-{name}")
    for name in ("scale", "start"):
        await serve(f"w-{name}", replicas=0 if name == "scale" else 1)
    await serve("w-logs", "now", COUNT="1")
    await api.call("POST", "/v1/services/w-start/stop")
    for name in ("update", "stop", "rm", "rollback", "restart", "logs"):
        await api.until_healthy(f"w-{name}", replicas=1, within_s=120)
    gates.shut("rollback")
    gates.shut("restart")  # what starts from now on waits

    async with httpx.AsyncClient(verify=False, timeout=300) as http, asyncio.TaskGroup() as held:
        for name in ("stop", "rm"):  # a request in hand, so that their replicas drain
            held.create_task(http.get(f"{stack.proxy}/w-{name}/hold"))
        later = [word for name, path in gates.env("later").items() for word in ("--env", f"{name}={path}")]
        words = ["--folder", "gated", "--slot", "cpu=0.1", "--slot", "mem=64m", *later]
        waiting = [
            terminal.begin("create", "service", "create", "w-create", "-p", "default", *words, "--wait"),
            terminal.begin("update", "service", "update", "w-update", *later, "--wait"),
            terminal.begin("rollback", "service", "rollback", "w-rollback", 1, "--wait"),
            terminal.begin("restart", "service", "restart", "w-restart", "--wait"),
            terminal.begin("retry", "service", "retry", "w-retry", "--wait"),
            terminal.begin("scale", "service", "scale", "w-scale", 1, "--wait"),
            terminal.begin("start", "service", "start", "w-start", "--wait"),
            terminal.begin("stop", "service", "stop", "w-stop", "--wait"),
            terminal.begin("rm", "service", "rm", "w-rm", "--yes", "--wait"),
            terminal.begin("wait", "service", "wait", "w-wait"),
            terminal.begin("validate", "service", "validate", "-p", "default", *words),
            terminal.begin("logs", "service", "logs", "w-logs", "-f"),
        ]
        for command in waiting:
            await eventually(command.said, within_s=240, what=f"{command.name} waits")
        upload = terminal.begin("upload", "folder", "upload", "files", large)
        await eventually(upload.said, within_s=120, what="the upload moves")

        async with manager_away(stack):
            first = [
                terminal.begin("first-ls", "service", "ls"),
                terminal.begin("first-post", "service", "start", "w-wait"),
            ]
            for command in (*waiting, *first):
                word = "the connection was lost" if command.name == "logs" else "waiting for the manager at"
                await eventually(lambda: word in command.err.read_text(), within_s=240, what=f"{command.name} says it")  # noqa: B023
        gates.open("later", "leave", "rollback", "restart")
        for command in (*waiting, upload, *first):
            if command.name != "logs":
                code = await asyncio.to_thread(command.process.wait, 240)
                assert code == 0, f"{command.name}: {code}\n{command.said()}"

    logs = waiting[-1]
    await eventually(lambda: "the connection is back" in logs.err.read_text(), within_s=60)
    before = len(logs.out.read_text().splitlines())
    await eventually(lambda: len(logs.out.read_text().splitlines()) > before + 50, within_s=60)
    await api.remove("w-logs")
    assert await asyncio.to_thread(logs.process.wait, 60) == 0, logs.said()
    numbers = [int(line.rpartition(" ")[2]) for line in logs.out.read_text().splitlines()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    fetched = terminal.begin("download", "folder", "download", "files", "--to", down)
    assert await asyncio.to_thread(fetched.process.wait, 120) == 0, fetched.said()
    assert (down / "large.bin").read_bytes() == large.read_bytes()
    for name in ("create", "update", "rollback", "restart", "retry", "scale", "start", "stop", "wait"):
        await api.remove(f"w-{name}", within_s=120)
