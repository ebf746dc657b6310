"""An installation by `headrace init` whose parts are of either release, and are replaced one by one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from headrace.embedded.process import LAUNCHER
from tests.support.api import Api
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.installation import Ports
from tests.support.worlds.installation_servers import servers
from tests.support.worlds.processes import living

AGENTS: Final = ("agent-1", "agent-2")
DEFINITION: Final = """
models:
  - name: chat
    model_path: /models
    service:
      start_command: [python, -m, headrace.engine, --port, "8000", --model-name, chat]
      port: 8000
      health_check: {path: /health, initial_delay: 0.2, interval: 0.5, max_wait_time: 5, max_retries: 60}
"""


@dataclass(frozen=True)
class Part:
    """One process of the installation: its module, settings, and where it says that it is ready."""

    name: str
    service: str
    settings: str
    ready: str
    environ: Mapping[str, str]


@dataclass
class Releases:
    """Running installation. Each part runs with the Python of a release; a replaced one keeps data, ports and listening sockets."""

    folder: Path
    data: Path
    logs: Path
    ports: Ports
    parts: dict[str, Part]
    listening: socket.socket
    """The app-proxy's, as a socket unit of systemd keeps it: callers wait in its backlog while no app-proxy runs."""
    runner: tuple[str, ...] = ("-m",)
    """What runs a module."""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _apis: dict[str, Api] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports.proxy}"

    @property
    def database_url(self) -> str:
        """Database as the managers' role."""
        return str(tomllib.loads((self.folder / "settings/manager.toml").read_text())["database_url"])

    def api(self, manager: str) -> Api:
        """Return an operator's client of this manager's API."""
        if manager not in self._apis:
            url = self.parts[manager].ready.removesuffix("/readyz")
            self._apis[manager] = Api(url, (self.folder / "admin.key").read_text().strip())
        return self._apis[manager]

    async def start(self, name: str, python: Path) -> None:
        """Start a part with the release of this Python, and wait until it is ready."""
        part = self.parts[name]
        words: tuple[str, ...] = (str(python), *self.runner, f"headrace.{part.service}")
        given: tuple[int, ...] = ()
        if part.service == "appproxy":
            given = (self.listening.fileno(),)
            launched = ("-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(signal.SIGKILL)), "same")
            words = (str(python), *launched, f"web={given[0]}", *words)
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environ |= {
            f"HEADRACE_{part.service.upper()}_CONFIG": str(self.folder / f"settings/{part.settings}.toml"),
            **{f"HEADRACE_{part.service.upper()}_{key}": value for key, value in part.environ.items()},
        }
        with (self.logs / f"{name}.log").open("ab") as log:
            process = self._running[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, cwd=self.logs, pass_fds=given
            )

        async def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}\n{self.log(name)[-4000:]}")
            return await _answers_200(part.ready, self.folder / "tls/ca.crt")

        await eventually(ready, within_s=120, every_s=0.1, what=f"{name} is ready")

    async def stop(self, name: str) -> None:
        """Stop a part as systemd does, and wait for its end."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 60)

    async def replace(self, name: str, python: Path) -> None:
        """Have a part run with another release."""
        await self.stop(name)
        await self.start(name, python)

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()

    async def close(self) -> None:
        """Stop everything; the agents last, with their replicas."""
        for api in self._apis.values():
            await api.close()
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                process.kill()
        self.listening.close()
        for pid in living(self.data / "agents"):  # replicas outlive their agents
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _parts(ports: Ports) -> Sequence[Part]:
    def page(name: str, service: str, settings: str = "", **environ: str) -> Part:
        port = free_port()
        return Part(
            name, service, settings or name, f"http://127.0.0.1:{port}/readyz", {**environ, "ADMIN_PORT": str(port)}
        )

    process = {"RUNTIME": "process", "SIMULATED_GPUS": "2"}
    second = free_port()
    return (
        Part("manager-1", "manager", "manager", f"https://127.0.0.1:{ports.api}/readyz", {}),
        Part("manager-2", "manager", "manager", f"https://127.0.0.1:{second}/readyz", {"LISTEN_PORT": str(second)}),
        page("autoscaler", "autoscaler"),
        page("proxy-1", "appproxy", WORKERS="1"),
        *(page(agent, "agent", **process) for agent in AGENTS),
    )


@asynccontextmanager
async def releases(root: Path, python: Path, runner: Sequence[str] = ("-m",)) -> AsyncIterator[Releases]:
    """Install with the release of this Python, and run all parts with it."""
    ports, data, logs, folder = Ports(), root / "data", root / "logs", root / "etc"
    logs.mkdir()
    words = (
        *("init", folder, "--layout", "host", "--url", f"https://127.0.0.1:{ports.api}", "--data-dir", data),
        *("--proxy-url", f"http://127.0.0.1:{ports.proxy}", "--database", f"127.0.0.1:{ports.database}"),
        *("--nats", f"127.0.0.1:{ports.nats}", "--redis", f"127.0.0.1:{ports.redis}"),
        *(word for agent in AGENTS for word in ("--agent", f"{agent}=127.0.0.1")),
    )
    await asyncio.to_thread(headrace, python, root, *words)
    parts = {part.name: part for part in _parts(ports)}
    listening = socket.create_server(("127.0.0.1", ports.proxy), backlog=1024)
    world = Releases(folder, data, logs, ports, parts, listening, tuple(runner))
    async with servers(folder, data, database=ports.database, redis=ports.redis):
        try:
            for name in parts:
                await world.start(name, python)
            yield world
        finally:
            await world.close()


def headrace(python: Path, home: Path, *words: object) -> str:
    """Run the command line of a release and return its output. AssertionError if it fails."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environ |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    command = [str(python), "-m", "headrace.cli", *map(str, words)]
    done = subprocess.run(
        command,
        env=environ,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


async def _answers_200(url: str, authority: Path) -> bool:
    try:
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=authority), timeout=5) as http:
            return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False
