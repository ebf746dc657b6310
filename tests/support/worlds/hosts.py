"""An installation on several hosts, made as docs/tutorial.md says: `headrace init` on one, the others join by token."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx

from tests.support.network import Host, network
from tests.support.wait import eventually, until
from tests.support.worlds.installation import running
from tests.support.worlds.installation_servers import READY
from tests.support.worlds.operator import Operator

ROOT: Final = Path(__file__).parents[3]
GPUS: Final = {"gpu-1": 1, "gpu-2": 2}
"""Agents and their GPUs: of two replicas with a GPU each, one is on each host; there is room for both on gpu-2."""


@dataclass(frozen=True)
class Hosts:
    """Running installation: its hosts by name, and an operator on the host of the callers, where this thread is too."""

    root: Path
    hosts: dict[str, Host]
    operator: Operator

    @property
    def url(self) -> str:
        return f"https://{self.hosts['control'].address}"

    @property
    def endpoints(self) -> str:
        return f"http://{self.hosts['proxy'].address}:8000"

    async def ask(self, *words: str) -> Any:
        """Run a command that prints JSON, and return that."""
        return json.loads(await self.operator.runs(*words, "--json"))

    async def routes(self, service: str) -> list[dict[str, Any]]:
        """Return the routes that the app-proxy uses now."""
        async with httpx.AsyncClient(verify=False, timeout=10) as http:
            answer = await http.get(f"http://{self.hosts['proxy'].address}:8093/routes")
        return [route for table in answer.json()["services"] if table["name"] == service for route in table["routes"]]

    def requests(self) -> list[dict[str, Any]]:
        """Return the app-proxy's access log, which has every request."""
        lines = self.log("proxy").splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == "request_ended"]

    def processes(self, host: str) -> list[int]:
        """Return all processes that run on the host."""
        there = os.stat(self.hosts[host].path).st_ino  # noqa: PTH116 - of what the link means
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                if (process / "ns/net").stat().st_ino == there:
                    found.append(int(process.name))
        return found

    def replicas(self, host: str) -> list[int]:
        """Return the processes of simulated engines that run on the host."""
        return [pid for pid in self.processes(host) if _words(pid)[1:3] == ["-m", "headrace.engine"]]

    def fetched(self, host: str) -> list[Path]:
        """Return the model definitions among the host's data."""
        return list((self.root / host / "data").rglob("model-definition.yaml"))

    def log(self, host: str) -> str:
        return (self.root / host / "log").read_text()


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # it has ended
        return []


@asynccontextmanager
async def hosts_running(
    root: Path, gpus: Mapping[str, int] = GPUS, appproxy: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Hosts]:
    """Install and start everything; all agents are alive at the beginning. This thread is moved to the host of the callers.

    `appproxy`: settings of the app-proxy that differ, by the names of their variables.
    """
    with ExitStack() as stack:
        hosts = stack.enter_context(network("control", "proxy", *gpus, "callers"))
        stack.enter_context(hosts["callers"].entered())
        world = Hosts(root, hosts, Operator(root))
        for host in hosts:
            (root / host).mkdir()
        files = root / "control/etc"
        await world.operator.runs(
            *("init", str(files), "--layout", "host", "--url", world.url, "--proxy-url", world.endpoints),
            *("--nats", hosts["control"].address, "--data-dir", str(root / "control/data")),
        )
        _start_servers(world, files, stack)
        _start(world, "control", "manager", files / "settings/manager.toml", stack)
        await eventually(lambda: _answers(world, files / "tls/ca.crt"), what="the manager answers")
        key = (files / "admin.key").read_text()
        await world.operator.runs(
            "login", "--url", world.url, "--ca", str(files / "tls/ca.crt"), "--key", "-", given=key
        )
        await asyncio.gather(
            _joined(world, "proxy", "proxy", "appproxy"),
            *(
                _joined(world, host, "agent", "agent", "--runtime", "process", "--simulated-gpus", str(number))
                for host, number in gpus.items()
            ),
        )
        _start(world, "proxy", "appproxy", root / "proxy/etc/settings/proxy.toml", stack, appproxy)
        for host in gpus:
            _start(world, host, "agent", root / host / f"etc/settings/{host}.toml", stack)
        await eventually(lambda: _alive(world, gpus), every_s=0.5, what="all agents are alive")
        yield world


def _start_servers(world: Hosts, files: Path, stack: ExitStack) -> None:
    module, data, log = (
        "tests.support.worlds.installation_servers",
        world.root / "control/data",
        world.root / "servers.log",
    )
    words = world.hosts["control"].command(sys.executable, "-m", module, str(files), str(data))
    process = stack.enter_context(running(*words, log=log, environ={"PYTHONPATH": str(ROOT)}))

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return READY in log.read_text()

    until(ready, READY, within_s=120)


def _start(
    world: Hosts,
    host: str,
    service: str,
    settings: Path,
    stack: ExitStack,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Start a service as the command `join` says, but for what a test wants to see and to have ended."""
    own = {
        "agent": {"STOP_KERNELS_ON_EXIT": "true"},
        "appproxy": {"ADMIN_HOST": world.hosts[host].address, "ACCESS_LOG_SHARE": "1", "ERROR_LOG_LINES_PER_S": "1000"},
    }.get(service, {})
    environ = {
        f"HEADRACE_{service.upper()}_{name}": value for name, value in {**own, **more, "CONFIG": str(settings)}.items()
    }
    words = world.hosts[host].command(sys.executable, "-m", f"headrace.{service}")
    stack.enter_context(running(*words, log=world.root / host / "log", environ=environ))


async def _joined(world: Hosts, host: str, kind: str, service: str, *more: str) -> None:
    """Join the host by a token of its own."""
    made, folder = await world.ask(kind, "join-token"), world.root / host
    words = world.hosts[host].command(
        *(sys.executable, "-m", f"headrace.{service}", "join"),
        *("--url", world.url, "--ca-sha256", made["ca_sha256"], "--name", host),
        *("--dir", str(folder / "etc"), "--data-dir", str(folder / "data"), *more),
    )
    joined = await asyncio.to_thread(
        subprocess.run,
        words,
        env={**os.environ, "HEADRACE_JOIN_TOKEN": made["token"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert joined.returncode == 0, joined.stdout + joined.stderr


async def _answers(world: Hosts, authority: Path) -> bool:

    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=authority), timeout=5) as http:
        try:
            return (await http.get(f"{world.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


async def _alive(world: Hosts, agents: Iterable[str]) -> bool:
    return {one["id"]: one["status"] for one in await world.ask("agent", "ls")} == dict.fromkeys(agents, "alive")
